"""JSON Lines: one object per line, the text in one of its fields."""

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._json import text_lines
from preprocessing.step import Reader


class JsonLinesReader(Reader):
    """JSONL files in UTF-8. A line that is no such object, or has no text, is rejected with its reason."""

    text_field: str = "text"
    """Key of the text."""
    meta_fields: tuple[str, ...] = ()
    """Other keys that are kept with the document, where they are present."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer lines are rejected."""

    @property
    def cut_at(self) -> Literal["line"]:
        return "line"

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        for item in text_lines(raw, self.max_document_bytes, self.text_field):
            if isinstance(item, Rejected):
                yield item
            else:
                position, text, record = item
                yield raw.document(position, text, {key: record[key] for key in self.meta_fields if key in record})
