"""Reading texts for the tokenizer: cleaned documents, other JSON Lines, or plain text; compressed or not."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from jp_llm.runtime.errors import UserError
from jp_llm.texts.records import read_lines, read_records


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
    records = read_records(path) if ".jsonl" in path.suffixes else read_lines(path, _parse_plain)
    for source, text in records:
        yield source or path.parent.name, text


def _parse_plain(line: bytes) -> tuple[None, str]:
    return None, line.rstrip(b"\r\n").decode()


def _files_of(pattern: str, key: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        found = sorted(path.rglob("train-*.jsonl.zst"))
        missing = f"{pattern}: holds no train-*.jsonl.zst; name a documents folder of preprocessing, or a file pattern"
    elif path.is_file():
        return [path]  # brackets in its name are no pattern
    else:
        anchor = Path(path.anchor)
        found = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        missing = f"{pattern}: no such file"
    if not found:
        raise UserError(f"{key}: {missing}")
    return found
