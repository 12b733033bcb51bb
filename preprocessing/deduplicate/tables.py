"""Arrays on disk: written whole or not at all, sorted, read in slices. No file stays open, no map stays in memory.

A document's number is the place of its file in the list of cleaned files << 32 | its place in that file. Numbers decide
what stays, so neither workers nor time do.
"""

import math
import mmap
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from errno import ENOENT
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.files import atomic_writer, read_json, write_json

Rows = NDArray[np.uint64]
"""uint64 [rows, columns]."""
FILE_SHIFT = np.uint64(32)
ORDINAL = np.uint64(0xFFFFFFFF)
_HASHES = 1 << 64


class Workspace:
    """The files of a deduplication that is under way: `<output folder>/deduplicate/<step>/<name>.<suffix>`.

    Tables are read by their names, never by looking what is there: a worker that comes late, when others have used and
    removed its input, must fail and not decide from nothing.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder) / "deduplicate"

    def path(self, step: str, name: int | str, suffix: str = "bin") -> Path:
        """Of a table; numbers are those of cleaned files or of ranges."""
        return self._folder / step / f"{name if isinstance(name, str) else f'{name:05d}'}.{suffix}"

    def of_files(self, step: str, files: int) -> list[Path]:
        """Tables of a step that makes one of each cleaned file."""
        return [self.path(step, number) for number in range(files)]

    def decided(self, step: str) -> list[Path]:
        """Tables of a step that is finished and divided its work into ranges, in order."""
        parts = self.parts(step)
        if parts is None:
            raise FileNotFoundError(ENOENT, "no decision yet", str(self._parts(step)))
        return [self.path(step, part_name(part, parts)) for part in range(parts)]

    def parts(self, step: str) -> int | None:
        """Tables that a finished step has left; None: it is not finished."""
        path = self._parts(step)
        return int(read_json(path)["parts"]) if path.exists() else None

    def finish(self, step: str, parts: int) -> None:
        """All tables of a step are there. `memory_bytes` may change later, its division may not."""
        if self.parts(step) != parts:
            write_json(self._parts(step), {"parts": parts})

    def _parts(self, step: str) -> Path:
        return self.path("parts", step, "json")

    def write_sources(self, sources: Sequence[str]) -> None:
        """Keep the source of each cleaned file once, not with every task."""
        write_json(self.path("files", "sources", "json"), {"sources": list(sources)})

    def sources(self) -> list[str]:
        """Source of each cleaned file."""
        return list(read_json(self.path("files", "sources", "json"))["sources"])

    def remove(self, *steps: str) -> None:
        """Remove what earlier steps needed."""
        for step in steps:
            shutil.rmtree(self._folder / step, ignore_errors=True)


def part_name(part: int, parts: int) -> str:
    """Of a table, and of a task: those of different divisions are never taken for each other."""
    return f"{part:05d}-of-{parts:05d}"


def document_number(file: int, ordinal: int) -> int:
    """Number of the `ordinal`-th document of a cleaned file."""
    return file << int(FILE_SHIFT) | ordinal


def write_array(path: Path, *arrays: NDArray[np.generic]) -> None:
    """Write arrays one behind the other, as their bytes."""
    with atomic_writer(path) as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)


def mapped(path: Path) -> NDArray[np.uint8]:
    """The bytes of a table. What of them was touched counts as memory of this process until the array is gone.

    As `np.memmap`, which takes three times as long to open a file: there are as many to open as files times ranges.
    """
    with path.open("rb", buffering=0) as file:
        if not os.fstat(file.fileno()).st_size:
            return np.empty(0, dtype=np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)


def read_rows(path: Path, columns: int, first: int = 0, last: int | None = None) -> Rows:
    """Rows `first` to `last` (exclusive; None: all) of a table."""
    width = 8 * columns
    last = path.stat().st_size // width if last is None else last
    values = np.fromfile(path, dtype=np.uint64, count=(last - first) * columns, offset=first * width)
    return values.reshape(-1, columns)


def read_range(path: Path, columns: int, low: int, high: int) -> Rows:
    """Rows of a table, sorted by its first column, in which that column is in [low, high)."""
    rows = mapped(path).view(np.uint64).reshape(-1, columns)
    # numpy's searchsorted would copy the column
    first, last = bisect_left(rows[:, 0], low), bisect_left(rows[:, 0], high)
    return np.array(rows[first:last])


def gather_range(files: list[Path], columns: int, part: int, parts: int) -> Rows:
    """Rows of all tables whose first column, a hash, lies in one of `parts` equal ranges."""
    low, high = hash_range(part, parts)
    nothing = np.empty((0, columns), dtype=np.uint64)
    return np.concatenate([nothing, *(read_range(file, columns, low, high) for file in files)])


def rows_of_file(tables: list[Path], columns: int, file: int) -> Rows:
    """Rows, of tables sorted by document number, of the documents of one file; sorted by number."""
    low, high = document_number(file, 0), document_number(file + 1, 0)
    nothing = np.empty((0, columns), dtype=np.uint64)
    found = np.concatenate([nothing, *(read_range(table, columns, low, high) for table in tables)])
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
