"""`launch/generate.py`: prompts in, texts out."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from jp_llm.export.folder import CONFIG_FILE
from jp_llm.export.inference import LoadedModel, model_hashes, open_model
from jp_llm.generate.config import GenerateConfig, SamplingConfig
from jp_llm.generate.output import TextsFile, part_path, texts_file
from jp_llm.generate.prompts import read_prompts
from jp_llm.generate.text import Completion, Task, complete_tasks, encode_prompts, tasks_of
from jp_llm.runtime.env import World, world_from
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fingerprint_of

PROGRESS_SECONDS = 10.0


def run(config: GenerateConfig) -> None:
    """Generate as configured; to the file `output`, or to the console.

    Of several processes (torchrun) each makes every so manieth text, into a file of its own.
    """
    world = world_from(os.environ)
    prompts = read_prompts(config)
    loaded = _open(config, world)
    encoded = encode_prompts(loaded, prompts, config)
    tasks = tasks_of(prompts, config)
    if config.output is None:
        for completion in complete_tasks(loaded, tasks, encoded, config, config.batch_size):
            print(f"{completion.prompt}{completion.text}\n{'─' * 40}", flush=True)
        return
    path = part_path(Path(config.output).expanduser(), world.rank, world.size)
    tasks = tasks[world.rank :: world.size]
    with texts_file(path, _identity(config, loaded, prompts, world), tasks, overwrite=config.overwrite) as file:
        if tasks and file.done == len(tasks):
            print(f"{path}: complete, {_count(len(tasks), prompts)}")
            return
        if file.done:
            print(f"{path}: holds {file.done:,} texts, going on behind them", file=sys.stderr)
        progress = _write(file, loaded, tasks, encoded, config)
    print(f"{path}: {_count(len(tasks), prompts)}; {progress.summary()}")


def _open(config: GenerateConfig, world: World) -> LoadedModel:
    path = Path(config.model)
    if world.size > 1:
        if config.output is None:
            raise UserError("output: name a file; several processes would mix their texts on the console")
        if not (path.expanduser() / CONFIG_FILE).is_file():
            raise UserError(f"model: {path} is no Hugging Face folder; export it first: several processes share it")
        if torch.cuda.is_available() and config.device != "cpu":
            torch.cuda.set_device(world.local_rank)
    return open_model(path, config.device, config.precision)


def _identity(config: GenerateConfig, loaded: LoadedModel, prompts: list[str], world: World) -> dict[str, Any]:
    """All that decides the texts of a file, and nothing else."""
    return {
        **_settings(config),
        "model_files_sha256": model_hashes(loaded.folder),
        "prompts_sha256": fingerprint_of(prompts),
        "precision": str(loaded.model.dtype).removeprefix("torch."),
        "part": world.rank,
        "parts": world.size,
    }


def _settings(config: GenerateConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    return {key: values[key] for key in SamplingConfig.model_fields}


def _write(
    file: TextsFile,
    loaded: LoadedModel,
    tasks: list[Task],
    encoded: Mapping[str, list[int]],
    config: GenerateConfig,
) -> "_Progress":
    settings = _settings(config)
    progress = _Progress(file, len(tasks))
    for completion in complete_tasks(loaded, tasks[file.done :], encoded, config, config.batch_size):
        file.append(_record(completion, settings))
        progress.count(completion)
    return progress


def _record(completion: Completion, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt": completion.prompt,
        "text": completion.text,
        "tokens": completion.tokens,
        "number": completion.number,
        "finish_reason": completion.finish_reason,
        "seed": settings["seed"],
        "settings": settings,
    }


def _count(texts: int, prompts: list[str]) -> str:
    return f"{texts:,} texts of {len(prompts):,} prompt{'s' if len(prompts) != 1 else ''}"


@dataclass
class _Progress:
    """Counts the texts of this process and says now and then on stderr how fast it is."""

    file: TextsFile
    of: int
    texts: int = 0
    tokens: int = 0
    empty: int = 0
    ended: int = 0
    _start: float = field(default_factory=time.perf_counter)
    _said: float = field(default_factory=time.perf_counter)

    def count(self, completion: Completion) -> None:
        self.texts += 1
        self.tokens += len(completion.tokens)
        self.empty += not completion.text
        self.ended += completion.finish_reason != "length"
        now = time.perf_counter()
        if now - self._said >= PROGRESS_SECONDS:
            self._said = now
            there = self.file.done + self.texts
            left = (self.of - there) * (now - self._start) / self.texts
            print(
                f"{self.file.path.name}: {there:,} of {self.of:,} texts, {self._speed(now)}, {_duration(left)} left",
                file=sys.stderr,
                flush=True,
            )

    def summary(self) -> str:
        """What was made, and how fast."""
        now = time.perf_counter()
        return (
            f"{self.texts:,} made now in {_duration(now - self._start)} ({self._speed(now)}): "
            f"{self.ended:,} ended by themselves, {self.empty:,} are empty"
        )

    def _speed(self, now: float) -> str:
        seconds = max(now - self._start, 1e-9)
        return f"{self.texts / seconds:,.1f} texts/s, {self.tokens / seconds:,.0f} tokens/s"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
