"""The first stage: raw files to cleaned documents, one unit per task."""

import io
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from preprocessing.archives import Member, members
from preprocessing.config import CorpusConfig
from preprocessing.counts import Counts
from preprocessing.document import Record, Rejected
from preprocessing.documents import CLEANED, DOCUMENTS, DocumentWriter, split_of
from preprocessing.pipeline import cleaned
from preprocessing.plan import Piece, Unit, selected
from preprocessing.raw_file import RawFile
from preprocessing.report.samples import SAMPLES, Samples
from preprocessing.step import Reader
from preprocessing.streams import DamagedFile, decompressed

_BUFFER_BYTES = 1 << 20


def clean_unit(config: CorpusConfig, unit: Unit) -> dict[str, Any]:
    """Read, clean and write the documents of a unit; its `Counts` as JSON.

    Raises:
        UserError: a file is damaged and `on_damaged_file` is `stop`.
    """
    started = time.process_time()
    folder = Path(config.output_dir)
    output = CLEANED if config.deduplicate else DOCUMENTS
    _remove_leftovers(folder, output, unit)
    source = config.sources[unit.source]
    steps = source.build_steps()
    counts, samples = Counts(), Samples(steps)
    with ExitStack() as stack:
        writer = stack.enter_context(
            DocumentWriter(folder / output / unit.source, unit.index, config.documents_file_bytes)
        )
        rejects = stack.enter_context(_Rejects(folder / "rejects" / f"{unit.name}.jsonl"))
        records = _Records(config, unit, counts)
        for document in cleaned(records.read(source.build_reader()), steps, counts, rejects.write, samples):
            split = split_of(document.text, config.validation_fraction)
            writer.write(split, document)
            counts.documents_out[split] += 1
            counts.characters += len(document.text)
            counts.bytes += len(document.text.encode())
    samples.save(folder / SAMPLES / f"{unit.name}.json.zst")
    counts.cpu_seconds = time.process_time() - started
    return counts.to_json()


class _Records:
    """The records of a unit's pieces, one after the other."""

    def __init__(self, config: CorpusConfig, unit: Unit, counts: Counts) -> None:
        self._config = config
        self._unit = unit
        self._select = config.sources[unit.source].files
        self._counts = counts
        self._damaged: set[str] = set()

    def read(self, reader: Reader) -> Iterator[Record]:
        for piece in self._unit.pieces:
            yield from self._guarded(self._read_piece(reader, piece), piece.path, None)

    def _read_piece(self, reader: Reader, piece: Piece) -> Iterator[Record]:
        if piece.fetched:
            yield from reader.read_part(self._unit.source, piece.path)
            return
        with open(piece.path, "rb", buffering=_BUFFER_BYTES) as file:
            if piece.first is not None:
                yield from self._read_archive(reader, piece, file)
                return
            stream: io.BufferedReader
            if piece.end is not None:
                file.seek(piece.start)
                stream = io.BufferedReader(_Range(file, piece.end - piece.start), _BUFFER_BYTES)
            else:
                stream = self._open(file, piece.path)
            yield from reader.read(RawFile(self._unit.source, piece.path, None, piece.name, stream, piece.start))

    def _read_archive(self, reader: Reader, piece: Piece, file: BinaryIO) -> Iterator[Record]:
        assert piece.first is not None
        for member in members(self._open(file, piece.path), piece.path):
            if piece.last is not None and member.index >= piece.last:
                return
            if member.index < piece.first:
                continue
            if member.stream is None:
                yield Rejected(piece.path, member.name, 0, f"archive_{member.refused}", "")
            elif selected(member.name, self._select):
                yield from self._guarded(self._read_member(reader, piece, member), piece.path, member.name)
            else:
                self._counts.skipped_members += 1

    def _read_member(self, reader: Reader, piece: Piece, member: Member) -> Iterator[Record]:
        assert member.stream is not None
        stream = self._open(member.stream, f"{piece.path}: {member.name}")
        yield from reader.read(
            RawFile(self._unit.source, piece.path, member.name, f"{piece.name}/{member.name}", stream)
        )

    def _open(self, file: Any, name: str) -> io.BufferedReader:
        return decompressed(file, name, self._config.max_decompression_ratio)

    def _guarded(self, records: Iterator[Record], path: str, member: str | None) -> Iterator[Record]:
        """Records up to the damage, which ends the run or becomes a record of its own."""
        try:
            yield from records
        except (DamagedFile, OSError) as error:
            name = path if member is None else f"{path}: {member}"
            problem = str(error) if isinstance(error, DamagedFile) else f"{name}: {error.strerror or error}"
            if self._config.on_damaged_file == "stop":
                raise UserError(
                    f"{problem}. Fetch the file again; or set on_damaged_file=skip to keep the documents before the "
                    "damage, count the file and go on"
                ) from error
            if member is None and path in self._damaged:
                return  # a member that was cut off has said so already
            self._damaged.add(path)
            position = error.position if isinstance(error, DamagedFile) else 0
            yield Rejected(path, member, position, "damaged_file", problem)


class _Range(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        data = self._file.read(min(len(target), self._left))
        target[: len(data)] = data
        self._left -= len(data)
        return len(data)


class _Rejects:
    """`rejects/<unit>.jsonl`, which exists only if there is something in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._file: Any = None

    def __enter__(self) -> "_Rejects":
        return self

    def write(self, record: Rejected) -> None:
        if self._file is None:
            self._file = self._stack.enter_context(atomic_writer(self._path))
        self._file.write(orjson.dumps(asdict(record), option=orjson.OPT_APPEND_NEWLINE))

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _remove_leftovers(folder: Path, output: str, unit: Unit) -> None:
    """Remove what an earlier attempt at this unit left: it may have stopped after some of the files."""
    number = f"{unit.index:05d}"
    for path in (folder / output / unit.source).glob(f"*-{number}-*.jsonl.zst"):
        path.unlink()
    (folder / "rejects" / f"{unit.name}.jsonl").unlink(missing_ok=True)
    (folder / SAMPLES / f"{unit.name}.json.zst").unlink(missing_ok=True)
