"""OSCAR 22.01 and 23.01: JSON Lines with what the crawl and the classifiers said about each page."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import PositiveInt

from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._json import text_lines
from preprocessing.step import Reader


class OscarReader(Reader):
    """OSCAR in all its spellings, and the copies that nest everything but the text: `{id, text, meta: {...}}`.

    Keeps, where they are stated: `url`, `date`, `record_id`, `language`, `language_probability`, `quality_warnings`,
    `harmful_pp` (perplexity under a model of harmful text: low means harmful), `categories` (names of UT1 blocklists).
    The filter `oscar` drops pages by them. Length and digest of the crawl do not describe the text and are not kept.
    """

    max_document_bytes: PositiveInt = 16 << 20
    """Longer lines are rejected; metadata, with one entry per line of the text, count."""

    @property
    def cut_at(self) -> Literal["line"]:
        return "line"

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        for item in text_lines(raw, self.max_document_bytes, "content", "text"):
            if isinstance(item, Rejected):
                yield item
            else:
                position, text, record = item
                yield raw.document(position, text, _meta(record))


def _meta(record: Mapping[str, Any]) -> dict[str, Any]:
    meta = _object(record, "meta")
    places = (record, _object(record, "metadata"), meta, _object(meta, "metadata"))
    headers = _object(_first(places, "warc_headers"))
    identification = _object(_first(places, "identification"))
    found = {
        "url": _header(headers, "target-uri"),
        "date": _header(headers, "date"),
        "record_id": _header(headers, "record-id"),
        "language": identification.get("label"),
        "language_probability": identification.get("prob"),
        "quality_warnings": _names(_first(places, "quality_warnings", "annotation", "annotations")),
        "harmful_pp": _first(places, "harmful_pp"),
        "categories": _names(_first(places, "categories")),
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


def _object(value: Any, key: str | None = None) -> Mapping[str, Any]:
    """`value`, or what it has under `key`, if that is an object; else an empty one."""
    value = value.get(key) if key is not None else value
    return value if isinstance(value, dict) else {}


def _first(places: tuple[Mapping[str, Any], ...], *keys: str) -> Any:
    return next((place[key] for place in places for key in keys if place.get(key) is not None), None)


def _header(headers: Mapping[str, Any], name: str) -> Any:
    """A WARC header; copies in tables write _ for -."""
    return _first((headers,), f"warc-{name}", f"warc_{name}".replace("-", "_"))


def _names(value: Any) -> list[str]:
    """A list of names, of which any part may be null."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
