"""JSON as corpora contain it: what can be read is kept, what cannot has a reason."""

import json
from collections.abc import Iterator
from typing import Any

import orjson

from preprocessing.decoding import Undecodable, decode
from preprocessing.document import Rejected
from preprocessing.raw_file import RawFile

_MOST_LEVELS = 200
"""More can be read, but not written again by every library."""


def parse(data: bytes) -> tuple[Any, bool]:
    """A JSON value, and whether it may hold half a surrogate pair: no text, and nothing that UTF-8 can write.

    What orjson refuses and the standard module takes is kept: NaN, numbers beyond a double, and, common in tweets, such
    halves, which `encodable` finds. An integer of more than 64 bits becomes a float, unless orjson refuses its line.

    Raises:
        Undecodable: `json`, `too_deep`, or one of the reasons of `decode`.
    """
    suspect = False
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        suspect = True
        try:
            value = json.loads(decode(data, ("utf-8",)))
        except (ValueError, RecursionError):
            raise Undecodable("json") from None
    if data.count(b"[") + data.count(b"{") > _MOST_LEVELS and _is_deep(value):
        raise Undecodable("too_deep")
    return value, suspect


def _is_deep(value: Any) -> bool:
    """Whether lists and objects lie in each other more than `_MOST_LEVELS` times."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_LEVELS):
        items = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for children in items for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


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
        Undecodable: `json`, `too_deep`, `lone_surrogate`, `no_object`, or one of the reasons of `decode`.
    """
    value, suspect = parse(data)
    if suspect and not encodable(value):
        raise Undecodable("lone_surrogate")
    if not isinstance(value, dict):
        raise Undecodable("no_object")
    return value


def text_lines(raw: RawFile, max_bytes: int, *keys: str) -> Iterator[tuple[int, str, dict[str, Any]] | Rejected]:
    """Offset, text (under the first of `keys` that is there) and object of each line; blank lines are no records."""
    for position, line, complete in raw.lines(max_bytes):
        if not line.strip():
            continue
        try:
            if not complete:
                raise Undecodable("too_large")
            record = parse_object(line)
            text = text_of(record, *keys)
        except Undecodable as error:
            yield raw.reject(position, error.reason, line)
        else:
            yield position, text, record


def text_of(record: dict[str, Any], *keys: str) -> str:
    """The text of a record, under the first of `keys` that it has.

    Raises:
        Undecodable: `no_text` or `text_is_no_string`.
    """
    text = next((record[key] for key in keys if record.get(key) is not None), None)
    if not isinstance(text, str):
        raise Undecodable("no_text" if text is None else "text_is_no_string")
    return text
