"""Cleaned documents, read many at a time: what numpy does for one short text takes as long as for a hundred."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, decompressed

_CHARACTERS = 1 << 17
_MAX_RATIO = 1000


@dataclass
class Batch:
    """Documents that follow one another in a file."""

    first: int
    """Place of the first one in the file."""
    lines: list[bytes] = field(default_factory=list)
    """As they stand in the file, with their line ends."""
    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def read_batches(path: Path, characters: int = _CHARACTERS) -> Iterator[Batch]:
    """All documents of a file of cleaned documents, in batches of about so many characters.

    Raises:
        UserError: the file is not there or damaged; says how to make it again.
    """
    batch, size = Batch(0), 0
    try:
        with path.open("rb") as file:
            for line in decompressed(file, str(path), _MAX_RATIO):
                record = _parsed(line)
                batch.lines.append(line)
                batch.ids.append(record["id"])
                batch.texts.append(record["text"])
                size += len(record["text"])
                if size >= characters:
                    yield batch
                    batch, size = Batch(batch.first + len(batch.texts)), 0
    except FileNotFoundError:
        raise UserError(f"{path}: lost since it was cleaned; {_again(path)}") from None
    except (DamagedFile, ValueError) as error:
        raise UserError(f"{path}: damaged since it was cleaned ({error}); {_again(path)}") from error
    if batch.texts:
        yield batch


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # orjson refuses numbers beyond a double, which may stand in `meta`.
        return json.loads(line)


def _again(path: Path) -> str:
    folder, unit = path.parents[2], path.name.split("-")[1]
    mark = folder / "marks" / "clean" / f"{path.parent.name}-{unit}.json"
    return f"bring it back, or delete {mark} and run the same command again"
