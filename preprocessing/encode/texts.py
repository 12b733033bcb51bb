"""Reading texts for the tokenizer: cleaned documents, other JSON Lines, or plain text; compressed or not."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from jp_llm.runtime.errors import UserError
from preprocessing.streams import DamagedFile, decompressed

_MAX_RATIO = 1000
"""Text of one repeated line reaches this; our own files stay near 3."""


def find_texts(patterns: Iterable[str], key: str = "inputs") -> list[Path]:
    """The files that patterns name, each once: of a documents folder of preprocessing its training documents.

    Args:
        patterns: folders, files or glob patterns.
        key: of the configuration, for messages.

    Raises:
        UserError: a pattern matches nothing.
    """
    return list(dict.fromkeys(file for pattern in patterns for file in _files_of(pattern, key)))


def read_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Source and text of every document of a file, in its order.

    In JSON Lines (`.jsonl` in the name) a line is {"source": ..., "text": ..., ...}; without a source the folder's name
    is taken. In other files every line is a document. Blank lines are skipped in both.

    Raises:
        UserError: the file is damaged, or a line is no such object or no UTF-8.
    """
    parse = _parse_json if ".jsonl" in path.suffixes else _parse_plain
    try:
        with path.open("rb") as file:
            for number, line in enumerate(decompressed(file, str(path), _MAX_RATIO), 1):
                try:
                    source, text = parse(line) if line.strip() else (None, None)
                except ValueError as error:
                    raise UserError(f"{path}: line {number}: {_reason(error)}") from error
                if text is not None:
                    yield source or path.parent.name, text
    except DamagedFile as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _parse_json(line: bytes) -> tuple[str | None, str]:
    record = _load(line)
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise ValueError('no object with a "text" that is a string')
    return record.get("source"), record["text"]


def _load(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # orjson refuses NaN and numbers beyond a double, which do no harm beside the text.
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()
        return value


def _parse_plain(line: bytes) -> tuple[None, str]:
    return None, line.rstrip(b"\r\n").decode()


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"not JSON ({error})"
        case UnicodeError():
            return f"not UTF-8 ({error})"
        case _:
            return str(error)


def _files_of(pattern: str, key: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        found = sorted(path.rglob("train-*.jsonl.zst"))
        missing = f"{pattern}: holds no train-*.jsonl.zst; name a documents folder of preprocessing, or a file pattern"
    else:
        anchor = Path(path.anchor)
        found = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        missing = f"{pattern}: no such file"
    if not found:
        raise UserError(f"{key}: {missing}")
    return found
