"""mC4: JSON Lines of text, timestamp and url (`c4-ja.tfrecord-00000-of-01024.json.gz` and its like)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers.jsonl import JsonLinesReader
from preprocessing.step import Reader


class Mc4Reader(Reader):
    """mC4 and other copies of C4. Keeps `url` and `timestamp` (ISO 8601).

    It holds pages of ja.wikipedia.org, which a corpus with a Wikipedia dump has twice: the filter `url` drops them.
    """

    max_document_bytes: PositiveInt = 16 << 20
    """Longer lines are rejected."""

    @property
    def cut_at(self) -> Literal["line"]:
        return "line"

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        lines = JsonLinesReader(meta_fields=("url", "timestamp"), max_document_bytes=self.max_document_bytes)
        return lines.read(raw)
