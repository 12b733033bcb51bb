"""Rows of tables (Parquet, `datasets`) as documents."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from preprocessing.decoding import Undecodable


def text_of_row(text: Any, max_bytes: int) -> str:
    """The text of a row.

    Raises:
        Undecodable: `no_text`, `text_is_no_string`, `encoding`, `lone_surrogate` or `too_large`.
    """
    if text is None:
        raise Undecodable("no_text")
    if not isinstance(text, str):
        raise Undecodable("encoding" if isinstance(text, bytes) else "text_is_no_string")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Undecodable("lone_surrogate") from None
    if size > max_bytes:
        raise Undecodable("too_large")
    return text


def json_value(value: Any) -> Any:
    """A value of a table as JSON: times in ISO 8601, bytes as text with \\xNN, anything else as its string."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Mapping():
            return {str(key): json_value(item) for key, item in value.items()}
        case Sequence():
            return [json_value(item) for item in value]
    return str(value)
