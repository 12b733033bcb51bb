"""The output folder of a corpus belongs to one configuration, and to one run at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from jp_llm.runtime.lock import LOCK_FILE, locked
from preprocessing.config import CorpusConfig, content_of

CONFIG_FILE = "config.resolved.yaml"
CLAIMS_FOLDER = "claims"
"""Who is at work at what, when several processes share the folder."""


@contextmanager
def claimed(config: CorpusConfig) -> Iterator[Path]:
    """The folder `config.output_dir`, created if need be, with the configuration in it; for one run alone.

    Raises:
        UserError: another run is working in it, it holds another configuration (every difference is named), or it holds
            something that is no corpus.
    """
    folder = _corpus_folder(config)
    with locked(folder):
        record_config(config, folder)
        remove_leftovers(folder)
        yield folder
        remove_leftovers(folder)  # of workers that were killed because they were stuck


@contextmanager
def claimed_with_others(config: CorpusConfig) -> Iterator[Path]:
    """The same folder for several processes of one job, of which the first one is to call `record_config`.

    Raises:
        UserError: as for `claimed`.
    """
    folder = _corpus_folder(config)
    with locked(folder, shared=True):
        yield folder


def record_config(config: CorpusConfig, folder: Path) -> None:
    """Write the configuration, or compare with the one that is there.

    Raises:
        UserError: they differ in something that decides the content.
    """
    check_config(config, folder)
    with atomic_writer(folder / CONFIG_FILE) as file:
        values = config.model_dump(mode="json")
        file.write(yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=120).encode())


def check_config(config: CorpusConfig, folder: Path) -> None:
    """Compare with the configuration that is there, if one is.

    Raises:
        UserError: see `record_config`.
    """
    path = folder / CONFIG_FILE
    if path.exists():
        content = config.content()
        if not any((folder / "marks" / "tokenizer").glob("*.json")):
            del content["tokenizer"]  # not used yet: may still be mended
        differences = list(_differences(content_of(yaml.safe_load(path.read_bytes())), content, ""))
        if differences:
            raise UserError(
                *(f"{path}: {difference}" for difference in differences),
                f"{folder} was made with the old values; choose another output_dir, or delete it to start anew",
            )


def _corpus_folder(config: CorpusConfig) -> Path:
    folder = Path(config.output_dir)
    # In this order: another process of the same job may be writing the configuration just now.
    if folder.is_dir() and _contents(folder) and not (folder / CONFIG_FILE).exists():
        raise UserError(
            f"{folder}: not empty, and no corpus folder ({CONFIG_FILE} is missing); choose another output_dir"
        )
    return folder


def remove_leftovers(folder: Path) -> None:
    """Files that were being written when their writer died. Nobody else may have work to do in the folder."""
    for leftover in folder.rglob(".*.tmp"):
        if leftover.relative_to(folder).parts[0] != CLAIMS_FOLDER:  # those are of living processes
            leftover.unlink(missing_ok=True)


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Keys of `new` (and of `old`, below the top) whose values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(new) if not path else sorted(old.keys() | new.keys())
        for key in keys:
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield f"{path} was {old!r}, now {new!r}"


def _contents(folder: Path) -> list[str]:
    ours = (LOCK_FILE, CLAIMS_FOLDER)
    names = [path.name for path in folder.iterdir()]
    return [name for name in names if name not in ours and not name.startswith(f".{CONFIG_FILE}.")]
