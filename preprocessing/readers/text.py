"""Plain text, in one of the three shapes that corpora come in."""

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from preprocessing.decoding import Encoding, Undecodable, decode
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._blocks import blocks
from preprocessing.step import Reader


class TextReader(Reader):
    """Text files."""

    document: Literal["file", "line", "blank_line"] = "file"
    """What one document is: a whole file, a line, or the lines up to an empty one (as in CC-100)."""
    encodings: tuple[Encoding, ...] = ("utf-8",)
    """Tried in this order, per document; put utf-8 first. A document that fits none is rejected."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer documents are rejected."""

    @property
    def cut_at(self) -> Literal["line", "blank_line"] | None:
        return None if self.document == "file" else self.document

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        for position, data, complete in self._pieces(raw):
            if not complete:
                yield raw.reject(position, "too_large", data)
                continue
            try:
                yield raw.document(position, decode(data, self.encodings))
            except Undecodable as error:
                yield raw.reject(position, error.reason, data)

    def _pieces(self, raw: RawFile) -> Iterator[tuple[int, bytes, bool]]:
        """Offset, bytes and completeness of each document; empty ones are none."""
        match self.document:
            case "file":
                data, complete = raw.whole(self.max_document_bytes)
                if data:
                    yield raw.start, data, complete
            case "line":
                yield from (line for line in raw.lines(self.max_document_bytes) if line[1])
            case "blank_line":
                yield from blocks(raw.lines(self.max_document_bytes), self.max_document_bytes)
