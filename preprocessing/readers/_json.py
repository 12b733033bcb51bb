"""JSON as corpora contain it: what can be read is kept, what cannot has a reason."""

import json
from collections.abc import Iterator
from typing import Any

import orjson

from preprocessing.decoding import Undecodable, decode
from preprocessing.document import Rejected
from preprocessing.raw_file import RawFile


def parse(data: bytes) -> tuple[Any, bool]:
    """A JSON value, and whether it may hold half a surrogate pair: no text, and nothing that UTF-8 can write.

    What orjson refuses and the standard module takes is kept: NaN, integers of any size, and, common in tweets, such
    halves, which `encodable` finds.

    Raises:
        Undecodable: `json`, or one of the reasons of `decode`.
    """
    try:
        return orjson.loads(data), False
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(decode(data, ("utf-8",))), True
    except (ValueError, RecursionError):
        raise Undecodable("json") from None


def encodable(value: Any) -> bool:
    """Whether every string of a JSON value can be written in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Undecodable: `json`, `lone_surrogate`, `no_object`, or one of the reasons of `decode`.
    """
    value, suspect = parse(data)
    if suspect and not encodable(value):
        raise Undecodable("lone_surrogate")
    if not isinstance(value, dict):
        raise Undecodable("no_object")
    return value


def object_lines(raw: RawFile, max_bytes: int) -> Iterator[tuple[int, bytes, dict[str, Any]] | Rejected]:
    """Offset, bytes and object of each line; blank lines are no records."""
    for position, line, complete in raw.lines(max_bytes):
        if not line.strip():
            continue
        try:
            if not complete:
                raise Undecodable("too_large")
            yield position, line, parse_object(line)
        except Undecodable as error:
            yield raw.reject(position, error.reason, line)


def text_of(record: dict[str, Any], *keys: str) -> str:
    """The text of a record, under the first of `keys` that it has.

    Raises:
        Undecodable: `no_text` or `text_is_no_string`.
    """
    text = next((record[key] for key in keys if record.get(key) is not None), None)
    if not isinstance(text, str):
        raise Undecodable("no_text" if text is None else "text_is_no_string")
    return text
