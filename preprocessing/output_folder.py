"""The output folder of a corpus belongs to one configuration, and to one run at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from jp_llm.runtime.lock import LOCK_FILE, locked
from preprocessing.config import CorpusConfig

CONFIG_FILE = "config.resolved.yaml"


@contextmanager
def claimed(config: CorpusConfig) -> Iterator[Path]:
    """The folder `config.output_dir`, created if need be, with the configuration in it.

    Raises:
        UserError: another run is working in it, it holds another configuration (every difference is named), or it holds
            something that is no corpus.
    """
    folder = Path(config.output_dir)
    if folder.is_dir() and not (folder / CONFIG_FILE).exists() and _contents(folder):
        raise UserError(
            f"{folder}: not empty, and no corpus folder ({CONFIG_FILE} is missing); choose another output_dir"
        )
    with locked(folder):
        _record(config, folder / CONFIG_FILE)
        # Of a run that was killed; this one is alone.
        for leftover in folder.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        yield folder


def _record(config: CorpusConfig, path: Path) -> None:
    """Write the configuration, or compare with the one that is there."""
    if path.exists():
        content = config.content()
        if not any((path.parent / "marks" / "tokenizer").glob("*.json")):
            del content["tokenizer"]  # not used yet: may still be mended
        differences = list(_differences(yaml.safe_load(path.read_bytes()), content, ""))
        if differences:
            raise UserError(
                *(f"{path}: {difference}" for difference in differences),
                f"{path.parent} was made with the old values; choose another output_dir, or delete it to start anew",
            )
    with atomic_writer(path) as file:
        values = config.model_dump(mode="json")
        file.write(yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=120).encode())


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Keys of `new` (and of `old`, below the top) whose values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(new) if not path else sorted(old.keys() | new.keys())
        for key in keys:
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield f"{path} was {old!r}, now {new!r}"


def _contents(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != LOCK_FILE]
