"""Arrays on disk: written whole or not at all, sorted, read in slices. No file stays open, no map stays in memory.

A document's number is the place of its file in the list of cleaned files << 32 | its place in that file. Numbers decide
what stays, so neither workers nor time do.
"""

import math
import shutil
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.files import atomic_writer

Rows = NDArray[np.uint64]
"""uint64 [rows, columns]."""
FILE_SHIFT = np.uint64(32)
ORDINAL = np.uint64(0xFFFFFFFF)
_HASHES = 1 << 64


class Workspace:
    """The files of a deduplication that is under way: `<output folder>/deduplicate/<step>/<name>.<suffix>`."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder) / "deduplicate"

    def path(self, step: str, name: int | str, suffix: str = "bin") -> Path:
        """Of a table; numbers are those of cleaned files or of ranges."""
        return self._folder / step / f"{name if isinstance(name, str) else f'{name:05d}'}.{suffix}"

    def files(self, step: str) -> list[Path]:
        """All tables of a step, in order."""
        return sorted((self._folder / step).glob("[!.]*.bin"))

    def remove(self, *steps: str) -> None:
        """Remove what earlier steps needed."""
        for step in steps:
            shutil.rmtree(self._folder / step, ignore_errors=True)


def write_array(path: Path, *arrays: NDArray[np.generic]) -> None:
    """Write arrays one behind the other, as their bytes."""
    with atomic_writer(path) as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)


def read_rows(path: Path, columns: int, first: int = 0, last: int | None = None) -> Rows:
    """Rows `first` to `last` (exclusive; None: all) of a table."""
    width = 8 * columns
    last = path.stat().st_size // width if last is None else last
    values = np.fromfile(path, dtype=np.uint64, count=(last - first) * columns, offset=first * width)
    return values.reshape(-1, columns)


def read_range(path: Path, columns: int, low: int, high: int) -> Rows:
    """Rows of a table, sorted by its first column, in which that column is in [low, high)."""
    if not path.stat().st_size:
        return np.empty((0, columns), dtype=np.uint64)
    column = np.memmap(path, dtype=np.uint64, mode="r").reshape(-1, columns)[:, 0]
    # numpy's searchsorted would copy the column
    first, last = bisect_left(column, low), bisect_left(column, high)
    return read_rows(path, columns, first, last)


def gather_range(files: list[Path], columns: int, part: int, parts: int) -> Rows:
    """Rows of all tables whose first column, a hash, lies in one of `parts` equal ranges."""
    low, high = hash_range(part, parts)
    nothing = np.empty((0, columns), dtype=np.uint64)
    return np.concatenate([nothing, *(read_range(file, columns, low, high) for file in files)])


def rows_of_file(tables: list[Path], columns: int, file: int) -> Rows:
    """Rows, of tables sorted by document number, of the documents of one file; sorted by number."""
    nothing = np.empty((0, columns), dtype=np.uint64)
    found = np.concatenate([nothing, *(read_range(table, columns, file << 32, (file + 1) << 32) for table in tables)])
    return found[np.lexsort(found.T[::-1])]


def hash_range(part: int, parts: int) -> tuple[int, int]:
    """Ends of the `part`-th of `parts` equal ranges of all 64-bit hashes."""
    return _HASHES * part // parts, _HASHES * (part + 1) // parts


def parts_for(rows: int, bytes_per_row: int, memory_bytes: int) -> int:
    """Ranges into which so many rows must be divided; half of the memory is left to everything else."""
    return max(1, math.ceil(2 * rows * bytes_per_row / memory_bytes))


def ordinals(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places of documents in their files."""
    return (numbers & ORDINAL).astype(np.int64)


def group_starts(new: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each row the first row of its group, where `new` is true for the first row of each group."""
    places = np.where(new, np.arange(len(new)), 0)
    return np.maximum.accumulate(places)


def chunks(path: Path, columns: int, size: int) -> Iterator[Rows]:
    """All rows of a table, `size` at a time."""
    total = path.stat().st_size // (8 * columns)
    for first in range(0, total, size):
        yield read_rows(path, columns, first, min(first + size, total))
