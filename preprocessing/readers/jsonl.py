"""JSON Lines: one object per line, the text in one of its fields."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import orjson
from pydantic import PositiveInt

from preprocessing.decoding import Undecodable, decode
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.step import Reader


class JsonLinesReader(Reader):
    """JSONL files in UTF-8. A line that is no such object, or has no text, is rejected with its reason."""

    text_field: str = "text"
    """Key of the text."""
    meta_fields: tuple[str, ...] = ()
    """Other keys that are kept with the document, where they are present."""
    max_document_bytes: PositiveInt = 64 << 20
    """Longer lines are rejected."""

    @property
    def cut_at(self) -> Literal["line"]:
        return "line"

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        for position, line, complete in raw.lines(self.max_document_bytes):
            if not line.strip():
                continue
            try:
                if not complete:
                    raise Undecodable("too_large")
                text, meta = self._parse(line)
            except Undecodable as error:
                yield raw.reject(position, error.reason, line)
            else:
                yield raw.document(position, text, meta)

    def _parse(self, line: bytes) -> tuple[str, dict[str, Any]]:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            value = _parse_leniently(line)
        if not isinstance(value, dict):
            raise Undecodable("no_object")
        text = value.get(self.text_field)
        if not isinstance(text, str):
            raise Undecodable("no_text" if text is None else "text_is_no_string")
        return text, {key: value[key] for key in self.meta_fields if key in value}


def _parse_leniently(line: bytes) -> Any:
    """What orjson refuses and the standard module takes (NaN, integers of any size) is kept.

    Half a surrogate pair, common in tweets, is taken too; it is no text and cannot be written as UTF-8.
    """
    try:
        value = json.loads(decode(line, ("utf-8",)))
    except (ValueError, RecursionError):
        raise Undecodable("json") from None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Undecodable("lone_surrogate") from None
    return value
