"""Documents on disk: `documents/<source>/<split>-<unit>-<part>.jsonl.zst`, and which split a document is in."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from preprocessing.document import Document
from preprocessing.lazy_file import DOCUMENTS_LEVEL, LazyFile

CLEANED, DOCUMENTS = "cleaned", "documents"
"""Folders of documents before and after deduplication; without it there is only the second."""
SPLITS = ("train", "validation")


def split_of(text: str, validation_fraction: float) -> str:
    """`validation` for a fixed share of all texts, decided by the text alone: copies stay on one side.

    BLAKE2b of the text without spaces and line ends, so that copies with other line breaks stay together too.
    """
    key = blake2b("".join(text.split()).encode(), digest_size=8).digest()
    return "validation" if int.from_bytes(key, "big") < validation_fraction * 2.0**64 else "train"


@dataclass(frozen=True)
class DocumentsFile:
    """A file of documents: what becomes one shard."""

    source: str
    split: str
    name: str
    """Relative to the output folder: `<cleaned or documents>/<source>/<split>-<unit>-<part>.jsonl.zst`."""
    size: int


class DocumentWriter:
    """Writes the documents of one unit, per split, to files that appear one by one when they are complete."""

    def __init__(self, output_dir: Path, folder: str, source: str, unit: int, file_bytes: int) -> None:
        """
        Args:
            output_dir: of the corpus.
            folder: `CLEANED` or `DOCUMENTS`.
            source: whose documents.
            unit: its number, for the file names.
            file_bytes: JSON bytes after which the next file begins.
        """
        self._parts = {
            split: _Parts(output_dir, folder, source, split, f"{split}-{unit:05d}", file_bytes) for split in SPLITS
        }

    def __enter__(self) -> "DocumentWriter":
        return self

    def write(self, split: str, document: Document) -> None:
        """Append a document."""
        line = {"id": document.id, "source": document.source, "text": document.text, "meta": document.meta}
        self._parts[split].write(_json(line))

    @property
    def files(self) -> list[DocumentsFile]:
        """All files that are complete, by split and number."""
        return [file for parts in self._parts.values() for file in parts.files]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._parts["train"].close(kind, error, traceback)
        finally:
            self._parts["validation"].close(kind, error, traceback)


class _Parts:
    """`<name>-000.jsonl.zst`, `<name>-001.jsonl.zst`, ..."""

    def __init__(self, output_dir: Path, folder: str, source: str, split: str, name: str, file_bytes: int) -> None:
        self._output_dir = output_dir
        self._prefix = f"{folder}/{source}/{name}"
        self._source = source
        self._split = split
        self._file_bytes = file_bytes
        self.files: list[DocumentsFile] = []
        self._file = self._next()

    def write(self, line: bytes) -> None:
        self._file.write(line)
        if self._file.size >= self._file_bytes:
            self.close(None, None, None)

    def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, traceback)
        if kind is None and self._file.exists:
            self.files.append(documents_file(self._output_dir, self._source, self._split, self._file.path))
            self._file = self._next()

    def _next(self) -> LazyFile:
        return LazyFile(self._output_dir / f"{self._prefix}-{len(self.files):03d}.jsonl.zst", DOCUMENTS_LEVEL)


def documents_file(output_dir: Path, source: str, split: str, path: Path) -> DocumentsFile:
    """Of a complete file of documents, for the result of the task that wrote it."""
    return DocumentsFile(source, split, path.relative_to(output_dir).as_posix(), path.stat().st_size)


def has_size(path: Path, size: int) -> bool:
    """Whether a file is there and has that size."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def in_split_order(files: Iterable[DocumentsFile], sources: Iterable[str]) -> list[DocumentsFile]:
    """Files of documents by source and split; those of one split stay in the order that they have."""
    places = {source: place for place, source in enumerate(sources)}
    return sorted(files, key=lambda file: (places[file.source], SPLITS.index(file.split)))


def _json(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Integers beyond 64 bits in `meta`.
        import json

        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
