"""The first stage: raw files to cleaned documents, one unit per task."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, decompressed
from preprocessing.archives import Member, members
from preprocessing.config import CorpusConfig
from preprocessing.counts import Counts
from preprocessing.document import Record, Rejected
from preprocessing.documents import CLEANED, DOCUMENTS, DocumentWriter, split_of
from preprocessing.hashed_file import HashedFile
from preprocessing.lazy_file import LazyFile
from preprocessing.pipeline import cleaned
from preprocessing.plan import Piece, Unit, selected
from preprocessing.raw_file import RawFile
from preprocessing.report.samples import SAMPLES, Samples
from preprocessing.step import Reader

_BUFFER_BYTES = 1 << 20


def clean_unit(config: CorpusConfig, unit: Unit) -> dict[str, Any]:
    """Read, clean and write the documents of a unit.

    Returns:
        `counts`: its `Counts`; `documents`: its files, a `DocumentsFile` each, by split and number; `raw_bytes`:
        decompressed bytes that were read; `inputs`: what was read of which file, with its hash.

    Raises:
        UserError: a file is damaged and `on_damaged_file` is `stop`.
    """
    started = time.process_time()
    folder = Path(config.output_dir)
    output = CLEANED if config.deduplicate else DOCUMENTS
    source = config.sources[unit.source]
    steps = source.build_steps()
    counts, samples = Counts(), Samples(steps)
    earlier = _files_of(folder, output, unit)
    with (
        DocumentWriter(folder, output, unit.source, unit.index, config.documents_file_bytes) as writer,
        LazyFile(_rejects_path(folder, unit)) as rejects,
    ):

        def reject(record: Rejected) -> None:
            rejects.write(orjson.dumps(asdict(record), option=orjson.OPT_APPEND_NEWLINE))

        records = UnitRecords(config, unit, counts)
        for document in cleaned(records.read(source.build_reader()), steps, counts, reject, samples):
            split = split_of(document.text, config.validation_fraction)
            writer.write(split, document)
            counts.documents_out[split] += 1
            counts.characters += len(document.text)
            counts.bytes += len(document.text.encode())
    written = {folder / file.name for file in writer.files}
    if rejects.exists:
        written.add(rejects.path)
    if samples.save(_samples_path(folder, unit)):
        written.add(_samples_path(folder, unit))
    # Of an earlier attempt at this unit. By name: a second worker at the same unit writes the same names.
    for path in earlier - written:
        path.unlink(missing_ok=True)
    counts.cpu_seconds = time.process_time() - started
    return {
        "counts": counts.to_json(),
        "documents": [asdict(file) for file in writer.files],
        "raw_bytes": records.raw_bytes,
        "inputs": records.inputs,
    }


class UnitRecords:
    """The records of a unit's pieces, one after the other."""

    def __init__(self, config: CorpusConfig, unit: Unit, counts: Counts) -> None:
        self._config = config
        self._unit = unit
        self._select = config.sources[unit.source].files
        self._counts = counts
        self._damaged: set[str] = set()
        self._stream: io.BufferedReader | None = None
        self._raw_bytes = 0
        self.inputs: list[dict[str, Any]] = []
        """File, range and BLAKE2b of the bytes (as on disk) of each piece that has been read."""

    @property
    def raw_bytes(self) -> int:
        """Decompressed bytes that the reader has been given so far."""
        return self._raw_bytes + (self._stream.tell() if self._stream else 0)

    def read(self, reader: Reader) -> Iterator[Record]:
        """All records in order, the damage of a file as one of them."""
        for piece in self._unit.pieces:
            if piece.end != piece.start:
                yield from self._guarded(self._read_piece(reader, piece), piece.path, None)
            if piece.damage:
                yield from self._guarded(
                    _raised(DamagedFile(piece.path, piece.damage, piece.end or 0)), piece.path, None
                )

    def _read_piece(self, reader: Reader, piece: Piece) -> Iterator[Record]:
        if piece.fetched:
            yield from reader.read_part(self._unit.source, piece.path)
            return
        with open(piece.chunk or piece.path, "rb", buffering=0) as raw:
            size = None
            if piece.end is not None and piece.chunk is None:
                raw.seek(piece.start)
                size = piece.end - piece.start
            file = HashedFile(raw, piece.path, size)
            try:
                yield from self._read_records(reader, piece, file)
            except DamagedFile:
                with suppress(DamagedFile):  # of a file that has become shorter there is nothing to be said
                    self._note(piece, file)
                raise
            self._note(piece, file)

    def _note(self, piece: Piece, file: HashedFile) -> None:
        """Of a chunk the whole file was hashed when it was split; of an archive, its last unit reads it all."""
        if piece.chunk is None and (piece.first is None or piece.last is None):
            span = {"start": piece.start, "end": piece.end} if piece.end is not None else {}
            self.inputs.append({"file": piece.name, **span, "blake2b": file.finish()})

    def _read_records(self, reader: Reader, piece: Piece, file: HashedFile) -> Iterator[Record]:
        if piece.first is not None:
            yield from self._read_archive(reader, piece, file)
            return
        in_range = piece.end is not None and piece.chunk is None and not piece.compressed
        stream: io.BufferedReader = io.BufferedReader(file, _BUFFER_BYTES) if in_range else self._open(file, piece.path)
        # Readers that allow cuts between compressed streams count records by numbers of their own.
        start = 0 if piece.compressed else piece.start
        with self._counting(stream):
            yield from reader.read(RawFile(self._unit.source, piece.path, None, piece.name, stream, start))

    def _read_archive(self, reader: Reader, piece: Piece, file: HashedFile) -> Iterator[Record]:
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
        name = f"{piece.name}/{member.name}"
        with self._counting(stream):
            yield from reader.read(RawFile(self._unit.source, piece.path, member.name, name, stream))

    @contextmanager
    def _counting(self, stream: io.BufferedReader) -> Iterator[None]:
        self._stream = stream
        try:
            yield
        finally:
            self._raw_bytes, self._stream = self.raw_bytes, None

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


def _raised(error: Exception) -> Iterator[Record]:
    raise error
    yield


def _files_of(folder: Path, output: str, unit: Unit) -> set[Path]:
    """What is there of a unit's outputs."""
    documents = (folder / output / unit.source).glob(f"*-{unit.index:05d}-*.jsonl.zst")
    others = (_rejects_path(folder, unit), _samples_path(folder, unit))
    return {*documents, *(path for path in others if path.exists())}


def _rejects_path(folder: Path, unit: Unit) -> Path:
    return folder / "rejects" / f"{unit.name}.jsonl"


def _samples_path(folder: Path, unit: Unit) -> Path:
    return folder / SAMPLES / f"{unit.name}.json.zst"
