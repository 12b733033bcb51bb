"""Documents on disk: `documents/<source>/<split>-<unit>-<part>.jsonl.zst`, and which split a document is in."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import zstandard

from jp_llm.runtime.files import atomic_writer
from preprocessing.document import Document

CLEANED, DOCUMENTS = "cleaned", "documents"
"""Folders of documents before and after deduplication; without it there is only the second."""
SPLITS = ("train", "validation")
_ZSTD_LEVEL = 3


def split_of(text: str, validation_fraction: float) -> str:
    """`validation` for a fixed share of all texts, decided by the text alone: copies stay on one side.

    BLAKE2b of the text without spaces and line ends, so that copies with other line breaks stay together too.
    """
    key = blake2b("".join(text.split()).encode(), digest_size=8).digest()
    return "validation" if int.from_bytes(key, "big") < validation_fraction * 2.0**64 else "train"


class DocumentWriter:
    """Writes the documents of one unit, per split, to files that appear one by one when they are complete."""

    def __init__(self, folder: Path, unit: int, file_bytes: int) -> None:
        """
        Args:
            folder: of the source.
            unit: number of the unit, for the file names.
            file_bytes: JSON bytes after which the next file begins.
        """
        self._parts = {split: _Parts(folder, f"{split}-{unit:05d}", file_bytes) for split in SPLITS}

    def __enter__(self) -> "DocumentWriter":
        return self

    def write(self, split: str, document: Document) -> None:
        """Append a document."""
        line = {"id": document.id, "source": document.source, "text": document.text, "meta": document.meta}
        self._parts[split].write(_json(line))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._parts["train"].close(kind, error, traceback)
        finally:
            self._parts["validation"].close(kind, error, traceback)


class _Parts:
    """`<name>-000.jsonl.zst`, `<name>-001.jsonl.zst`, ..."""

    def __init__(self, folder: Path, name: str, file_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._file_bytes = file_bytes
        self._number = 0
        self._written = 0
        self._open = ExitStack()
        self._stream: Any = None

    def write(self, line: bytes) -> None:
        if self._stream is None:
            path = self._folder / f"{self._name}-{self._number:03d}.jsonl.zst"
            file = self._open.enter_context(atomic_writer(path))
            compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
            self._stream = self._open.enter_context(compressor.stream_writer(file, closefd=False))
        self._stream.write(line)
        self._written += len(line)
        if self._written >= self._file_bytes:
            self.close(None, None, None)

    def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, traceback)
        self._open = ExitStack()
        self._stream = None
        self._number += 1
        self._written = 0


@dataclass(frozen=True)
class DocumentsFile:
    """A file of documents: what becomes one shard."""

    source: str
    split: str
    name: str
    """Relative to the output folder: `<cleaned or documents>/<source>/<split>-<unit>-<part>.jsonl.zst`."""
    size: int


def find_documents(output_dir: Path, folder: str, sources: Iterable[str]) -> list[DocumentsFile]:
    """Files of documents below `folder` (`CLEANED` or `DOCUMENTS`) by source and split, in the order of their units."""
    return [
        DocumentsFile(source, split, str(file.relative_to(output_dir)), file.stat().st_size)
        for source in sources
        for split in SPLITS
        for file in sorted((output_dir / folder / source).glob(f"{split}-*.jsonl.zst"))
    ]


def _json(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Integers beyond 64 bits in `meta`.
        import json

        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
