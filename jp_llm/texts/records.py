"""JSON Lines of documents: {"source": ..., "text": ..., ...} per line, whatever the compression of the file."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, decompressed

_MAX_RATIO = 1000
"""Text of one repeated line reaches this; our own files stay near 3."""

Parsed = TypeVar("Parsed")


def read_records(path: Path) -> Iterator[tuple[str | None, str]]:
    """Source (None where a line names none) and text of every line; blank lines are skipped.

    Raises:
        UserError: the file is damaged, or a line is no such object or no UTF-8.
    """
    return (_source_and_text(record) for record in read_objects(path))


def read_objects(path: Path) -> Iterator[dict[str, Any]]:
    """Every line's object, which has a string "text" at least; blank lines are skipped.

    Raises:
        UserError: the file is damaged, or a line is no such object or no UTF-8.
    """
    return read_lines(path, parse_object)


def read_lines(path: Path, parse: Callable[[bytes], Parsed]) -> Iterator[Parsed]:
    """What `parse` makes of every line that is not blank; its ValueError is told with file and line.

    Raises:
        UserError: the file is damaged, or `parse` refuses a line.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    parsed = parse(line)
                except ValueError as error:
                    raise UserError(f"{path}: line {number}: {_reason(error)}") from error
                yield parsed


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The decompressed bytes of a file; what goes wrong inside the block is told with its name.

    Raises:
        UserError: the file cannot be opened or read to its end.
    """
    try:
        with path.open("rb") as file:
            yield decompressed(file, str(path), _MAX_RATIO, "decompress it first")
    except DamagedFile as error:
        raise UserError(f"{error}; copy or write it again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def parse_object(line: bytes) -> dict[str, Any]:
    """One line of JSON Lines.

    Raises:
        ValueError: it is no JSON object with a string under "text", or no UTF-8.
    """
    record = _load(line)
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise ValueError('no object with a "text" that is a string')
    return record


def _source_and_text(record: dict[str, Any]) -> tuple[str | None, str]:
    source = record.get("source")
    return None if source is None else str(source), record["text"]


def _load(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # orjson refuses NaN and numbers beyond a double, which do no harm beside the text.
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()
        return value


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"not JSON ({error})"
        case UnicodeError():
            return f"not UTF-8 ({error})"
        case _:
            return str(error)
