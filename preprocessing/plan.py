"""Which bytes each task reads. The plan depends on the inputs and the configuration alone, never on the workers.

A unit is a run of whole files, or one range of a large uncompressed file, or some streams of a MediaWiki dump in bz2,
or a run of members of one archive. Other large compressed files are split first (`preprocessing.split`). Every unit of
an archive streams it from the beginning up to its own members (zstd: 1 GB/s against some 30 MB/s of work), so an
archive has at most `_UNITS_PER_ARCHIVE` of them.
"""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Literal

import orjson

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, compression_of, decompressed
from preprocessing.archives import is_tar, members
from preprocessing.cuts import SEARCH_BYTES, page_stream_start, record_start
from preprocessing.step import CutAt

_UNITS_PER_ARCHIVE = 16
_EDGE_BYTES = 4096
_THREADS = 16


@dataclass(frozen=True)
class Piece:
    """Part of a unit: `path[start:end]`, entries `first` to `last` (exclusive) of the archive `path`, or one of the
    parts that a reader fetches itself."""

    path: str
    name: str
    """Path below the common folder of the source's files."""
    start: int = 0
    end: int | None = None
    first: int | None = None
    """None: not an archive."""
    last: int | None = None
    """None: to the end of the archive, whose integrity this piece then checks."""
    fetched: bool = False
    """`path` is one of the reader's `parts` and no file."""
    compressed: bool = False
    """`start` and `end` count compressed bytes: whole bz2 streams."""
    chunk: str | None = None
    """File that holds this part, compressed; `start` and `end` then count bytes of the decompressed `path`."""
    damage: str | None = None
    """What is wrong with `path` behind this part."""


@dataclass(frozen=True)
class Unit:
    """What one task cleans."""

    source: str
    index: int
    """Within the source."""
    pieces: tuple[Piece, ...]
    size: int
    """Bytes to read, for the progress line; those of an archive are decompressed."""

    @property
    def name(self) -> str:
        """`<source>-<index>`."""
        return f"{self.source}-{self.index:05d}"

    @property
    def fetched(self) -> list[str]:
        """Parts that the reader fetches itself."""
        return [piece.path for piece in self.pieces if piece.fetched]


@dataclass(frozen=True)
class Large:
    """A compressed file that must be split before it can be cleaned."""

    source: str
    index: int
    """Among those of the source."""
    path: str
    name: str
    size: int


@dataclass(frozen=True)
class InputFile:
    """A file of a source and how to recognise it later."""

    path: str
    name: str
    size: int
    edges: str
    """BLAKE2b of the first and last 4 KiB: a copy with a new date is the same file, other content is not."""
    kind: Literal["plain", "compressed", "archive", "unreadable"]
    compression: str | None = None
    """gzip, zstd, xz or bz2; None for plain bytes, of an archive too."""


def find_files(
    paths: Sequence[str], select: Sequence[str], max_ratio: float, *, skip_unreadable: bool = False
) -> list[InputFile]:
    """The files that a list of files, folders and patterns names: sorted, each once.

    Of a folder, all files below it are taken that `select` selects and whose name does not begin with a dot.

    Args:
        paths: what to look for.
        select: patterns for the files in folders; none selects all.
        max_ratio: see `decompressed`.
        skip_unreadable: list files that cannot be read too; the unit that meets them reports them.

    Raises:
        UserError: something does not exist, matches nothing or cannot be read; all such problems.
    """
    problems: list[str] = []
    found: dict[str, str] = {}
    for pattern in paths:
        matches = sorted(_matches(pattern, select))
        if not matches:
            what = "no file matches" if _is_pattern(pattern) else "no such file, or nothing to read in this folder"
            problems.append(f"{pattern}: {what} (looked from {Path.cwd()})")
        for path in matches:
            found.setdefault(os.path.realpath(path), path)
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in found.values()]) if found else ""
    names = [os.path.relpath(os.path.abspath(path), folder).replace(os.sep, "/") for path in found.values()]

    def describe(path: str, name: str) -> InputFile | str:
        try:
            return _describe(path, name, max_ratio)
        except OSError as error:
            unreadable = InputFile(path, name, 0, "", "unreadable")
            return unreadable if skip_unreadable else f"{path}: {error.strerror or error}"
        except ValueError as error:
            return f"{path if path.isprintable() else ascii(path)}: {error}"

    # Network disks answer slowly, but many questions at once.
    with ThreadPoolExecutor(_THREADS) as threads:
        described = list(threads.map(describe, found.values(), names))
    problems += [problem for problem in described if isinstance(problem, str)]
    if problems:
        raise UserError(*problems)
    return [file for file in described if isinstance(file, InputFile)]


@dataclass(frozen=True)
class Planner:
    """Divides the files of one source into units of about `unit_bytes`, in order."""

    source: str
    unit_bytes: int
    """On disk; decompressed for the members of archives."""
    cut_at: CutAt
    """Where the reader allows to cut an uncompressed file."""
    select: Sequence[str]
    """Patterns of archive members; none selects all."""
    max_ratio: float
    skip_damaged: bool
    """Plan what can be read of a damaged archive; the unit that meets the damage reports it."""
    split_above_bytes: int = 2 << 30
    """Larger compressed files, where the reader allows to cut, are `large` and in no unit."""

    def large(self, files: Sequence[InputFile]) -> list[Large]:
        """Files that must be split first."""
        found = [file for file in files if self._is_large(file) and not self._bz2_cuts(file)]
        return [Large(self.source, index, file.path, file.name, file.size) for index, file in enumerate(found)]

    def units(self, files: Sequence[InputFile]) -> list[Unit]:
        """Units of these files.

        Raises:
            DamagedFile: an archive cannot be read to its end.
        """
        units: list[Unit] = []
        pieces: list[Piece] = []
        total = 0
        for piece, size in (part for file in files for part in self._parts(file)):
            if pieces and total + size > self.unit_bytes:
                units.append(Unit(self.source, len(units), tuple(pieces), total))
                pieces, total = [], 0
            pieces.append(piece)
            total += size
        return [*units, Unit(self.source, len(units), tuple(pieces), total)] if pieces else units

    def _parts(self, file: InputFile) -> list[tuple[Piece, int]]:
        """The smallest pieces of a file, with their sizes."""
        if file.kind == "archive":
            return self._archive_parts(file)
        if file.kind == "plain" and self.cut_at and file.size > 1.5 * self.unit_bytes:
            return self._ranges(file)
        if cuts := self._bz2_cuts(file):
            return [
                (Piece(file.path, file.name, start, end, compressed=True), end - start)
                for start, end in pairwise([0, *cuts, file.size])
            ]
        if self._is_large(file):
            return []
        return [(Piece(file.path, file.name), file.size)]

    def _is_large(self, file: InputFile) -> bool:
        return file.kind == "compressed" and self.cut_at is not None and file.size > self.split_above_bytes

    def _bz2_cuts(self, file: InputFile) -> list[int]:
        """Where a dump of many bz2 streams may be cut; empty for any other file."""
        if file.compression != "bz2" or self.cut_at != "page" or file.size <= 1.5 * self.unit_bytes:
            return []
        cuts: list[int] = []
        with open(file.path, "rb") as raw:
            for nominal in range(self.unit_bytes, file.size - self.unit_bytes // 2, self.unit_bytes):
                if not cuts or nominal > cuts[-1]:
                    cut = page_stream_start(raw, nominal, min(nominal + SEARCH_BYTES, file.size))
                    if cut is None and not cuts:
                        return []
                    cuts += [cut] if cut is not None else []
        return cuts

    def _archive_parts(self, file: InputFile) -> list[tuple[Piece, int]]:
        """Runs of members of about the same size; the last is open-ended."""
        sizes: list[tuple[int, int]] = []
        try:
            with open(file.path, "rb") as raw:
                for member in members(decompressed(raw, file.path, self.max_ratio), file.path):
                    if selected(member.name, self.select):
                        sizes.append((member.index, member.size))
        except DamagedFile:
            if not self.skip_damaged:
                raise
        total = sum(size for _, size in sizes)
        # A little more than a whole number of units is that number of larger units.
        count = min(max(round(total / self.unit_bytes), 1), _UNITS_PER_ARCHIVE)
        parts: list[tuple[Piece, int]] = []
        first = done = begun = 0
        for index, size in sizes:
            if done > begun and done >= total * (len(parts) + 1) / count:
                parts.append((Piece(file.path, file.name, first=first, last=index), done - begun))
                first, begun = index, done
            done += size
        return [*parts, (Piece(file.path, file.name, first=first), done - begun)]

    def _ranges(self, file: InputFile) -> list[tuple[Piece, int]]:
        """Ranges of a plain file that begin where records begin."""
        cuts = [0]
        with open(file.path, "rb") as raw:
            for nominal in range(self.unit_bytes, file.size - self.unit_bytes // 2, self.unit_bytes):
                if nominal > cuts[-1]:
                    cut = record_start(raw, nominal, self.cut_at)
                    if cut >= file.size:
                        break
                    cuts.append(cut)
        ends = [*cuts[1:], file.size]
        return [(Piece(file.path, file.name, start, end), end - start) for start, end in zip(cuts, ends, strict=True)]


def fetched_units(source: str, parts: Sequence[str]) -> list[Unit]:
    """One unit for each part that the reader of `source` fetches itself; their sizes are not known."""
    return [Unit(source, index, (Piece(part, part, fetched=True),), 1) for index, part in enumerate(parts)]


def selected(name: str, select: Sequence[str]) -> bool:
    """Whether a member's name, or its last part, fits one of the patterns; no patterns select all."""
    return not select or any(fnmatchcase(name, item) or fnmatchcase(name.rsplit("/", 1)[-1], item) for item in select)


@dataclass(frozen=True)
class Plan:
    """What a corpus is made from; `plan.json`."""

    files: Mapping[str, Sequence[InputFile]]
    """Source -> its files."""
    side_files: Mapping[str, str]
    """Word lists and models of the steps -> SHA-256."""
    large: Sequence[Large]
    units: Sequence[Unit]
    """Of all sources; those of the large files are known once they are split."""

    def to_json(self) -> bytes:
        """The plan as a JSON object, a line."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, data: bytes) -> "Plan":
        """What `to_json` made."""
        value = orjson.loads(data)
        files = {source: [InputFile(**file) for file in listed] for source, listed in value["files"].items()}
        units = [
            Unit(item["source"], item["index"], tuple(Piece(**piece) for piece in item["pieces"]), item["size"])
            for item in value["units"]
        ]
        return cls(files, value["side_files"], [Large(**item) for item in value["large"]], units)

    def changes(self, now: "Plan") -> list[str]:
        """How the inputs `now` differ from those of this plan: added, gone, changed, divided into other units."""
        old: dict[tuple[str, str], InputFile | None]
        old = {(source, file.name): replace(file, path="") for source, files in self.files.items() for file in files}
        new: dict[tuple[str, str], InputFile | None]
        new = {(source, file.name): replace(file, path="") for source, files in now.files.items() for file in files}
        old |= {(unit.source, part): None for unit in self.units for part in unit.fetched}
        new |= {(unit.source, part): None for unit in now.units for part in unit.fetched}
        found = [(key, "is gone") for key in old.keys() - new.keys()]
        found += [(key, "was added") for key in new.keys() - old.keys()]
        found += [(key, "has changed") for key in old.keys() & new.keys() if old[key] != new[key]]
        problems = [f"sources.{source}: {name} {what}" for (source, name), what in sorted(found)]
        side = [path for path, digest in self.side_files.items() if now.side_files.get(path, digest) != digest]
        problems += [f"{path} has changed" for path in sorted(side)]
        if not problems and (self._work() != now._work()):
            problems.append(
                "the same files would be divided into other units of work than before, so that documents would be lost "
                "or read twice: set max_decompression_ratio and on_damaged_file back"
            )
        return problems

    def _work(self) -> tuple[list[Unit], list[Large]]:
        """All work, wherever the files lie."""
        units = [
            replace(unit, pieces=tuple(replace(piece, path="") for piece in unit.pieces), size=0) for unit in self.units
        ]
        return units, [replace(large, path="") for large in self.large]


def _is_pattern(path: str) -> bool:
    """A file may be called `data[1].jsonl`."""
    return glob.has_magic(path) and not os.path.lexists(path)


def _matches(pattern: str, select: Sequence[str]) -> Iterator[str]:
    for path in glob.iglob(pattern, recursive=True) if _is_pattern(pattern) else [pattern]:
        if os.path.isdir(path):
            seen: set[str] = set()
            for folder, folders, names in os.walk(path, followlinks=True):
                # Each folder once: two links to a folder above would double the work at every level.
                real = os.path.realpath(folder)
                folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
                inside = os.path.relpath(folder, path)
                for name in () if real in seen else names:
                    if not name.startswith(".") and selected(os.path.normpath(os.path.join(inside, name)), select):
                        yield os.path.join(folder, name)
                seen.add(real)
        elif os.path.exists(path):
            yield path


def _describe(path: str, name: str, max_ratio: float) -> InputFile:
    if not os.path.isfile(path):
        raise ValueError("not a regular file")
    if not path.isprintable():
        raise ValueError("the name is no printable UTF-8 text; rename the file")
    with open(path, "rb") as file:
        head = file.read(_EDGE_BYTES)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _EDGE_BYTES, 0))
        edges = blake2b(head + file.read(_EDGE_BYTES), digest_size=16).hexdigest()
        if head.startswith((b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!")):
            raise ValueError("a zip, 7z or rar archive; unpack it and name the folder, or pack it as .tar.zst")
        file.seek(0)
        compression = compression_of(head)
        kind: Literal["plain", "compressed"] = "compressed" if compression else "plain"
        try:
            if is_tar(decompressed(file, path, max_ratio).read(512)):
                return InputFile(path, name, size, edges, "archive", compression)
        except DamagedFile:
            pass  # found again, and dealt with, when the file is read
    return InputFile(path, name, size, edges, kind, compression)
