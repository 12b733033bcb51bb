"""CC-100 (`ja.txt.xz`): a paragraph per line, an empty line after every document."""

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._blocks import Line, blocks
from preprocessing.readers._json import text_lines
from preprocessing.readers.text import TextReader
from preprocessing.step import Reader


class Cc100Reader(Reader):
    """CC-100 and other output of CC-Net, or the rows that a loader made of it."""

    rows: bool = False
    """The input is JSONL with one row per line of the corpus (`{"id": "7", "text": "...\\n"}`), which the loader of
    Hugging Face `datasets` makes of it. The blank rows must still be there, for they alone end a document. Such a file
    is not divided among workers; a row that cannot be read is rejected, and its document goes on without it."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer documents, and longer rows, are rejected."""

    @property
    def cut_at(self) -> Literal["blank_line"] | None:
        return None if self.rows else "blank_line"

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        if not self.rows:
            yield from TextReader(document="blank_line", max_document_bytes=self.max_document_bytes).read(raw)
            return
        for item in blocks(self._rows(raw), self.max_document_bytes):
            if isinstance(item, Rejected):
                yield item
                continue
            position, data, complete = item
            yield raw.document(position, data.decode()) if complete else raw.reject(position, "too_large", data)

    def _rows(self, raw: RawFile) -> Iterator[Line | Rejected]:
        for item in text_lines(raw, self.max_document_bytes, "text"):
            if isinstance(item, Rejected):
                yield item
            else:
                position, text, _ = item
                yield position, text.rstrip("\r\n").encode(), True
