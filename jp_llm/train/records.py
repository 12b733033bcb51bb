"""Records of a run: metrics for the loggers, events for whoever looks after it."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from jp_llm.runtime import plugin
from jp_llm.runtime.env import World
from jp_llm.runtime.files import append_json_line
from jp_llm.runtime.run_folder import RunFolder


class Logger(Protocol):
    """What a file of `jp_llm/train/loggers` defines; built with the keywords run_dir, num_steps and config."""

    def log(self, record: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class Records:
    """Hands records to every logger, on the main process only; `jsonl` is always among them."""

    def __init__(
        self, names: tuple[str, ...], world: World, run_dir: Path, num_steps: int, config: dict[str, Any]
    ) -> None:
        chosen = dict.fromkeys(("jsonl", *names)) if world.is_main else {}
        self.loggers: list[Logger] = [
            plugin.load("jp_llm.train.loggers", name)(run_dir=run_dir, num_steps=num_steps, config=config)
            for name in chosen
        ]

    def log(self, record: dict[str, Any]) -> None:
        """One record of kind train, eval or sample, with its step."""
        for logger in self.loggers:
            attempt(partial(logger.log, record))

    def close(self) -> None:
        """Close every logger."""
        for logger in self.loggers:
            logger.close()


class Events:
    """`events.jsonl`: what happened to a run, written by the main process."""

    def __init__(self, run_dir: Path, world: World) -> None:
        self.path = RunFolder(run_dir).events
        self.is_main = world.is_main

    def write(self, event: str, **details: Any) -> None:
        """One line: the event, when (Unix seconds), and its details."""
        if self.is_main:
            line = {"event": event, "time": round(time.time(), 3), **details}
            attempt(partial(append_json_line, self.path, line))


def attempt(write: Callable[[], None]) -> None:
    """A record that cannot be written (a full disk) is said, and does not end the run."""
    try:
        write()
    except OSError as error:
        print(f"warning: a record was lost: {error}", file=sys.stderr, flush=True)


def flat_numbers(record: dict[str, Any]) -> dict[str, float]:
    """Numbers of a record under slash-separated names, e.g. train/loss or eval/wikipedia/perplexity."""
    found: dict[str, float] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}/{key}")
        elif isinstance(value, int | float):
            found[name] = float(value)

    for key, value in record.items():
        if key not in ("kind", "step"):
            walk(value, record["kind"] if key == "sources" else f"{record['kind']}/{key}")
    return found
