"""Word lists: UTF-8, one word per line; empty lines and lines that begin with `# ` are skipped."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from jp_llm.runtime.errors import UserError

FOLDER = Path(__file__).parents[1] / "word_lists"


def own_list(name: str) -> str:
    """Path of a list that comes with jp-llm."""
    return str(FOLDER / f"{name}.txt")


def read_words(path: str) -> Iterator[str]:
    """The words of a file, in order, without white space around them.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                word = line.strip()
                if word and not line.startswith("# "):
                    yield word
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of words ({error})") from error


def word_list_problems(key: str, path: str | None) -> list[str]:
    """What is wrong with the file that the user named under `key`; null names a list of our own."""
    if path is None:
        return []
    try:
        return [] if deque(read_words(path), maxlen=1) else [f"{key}: {path} has no words"]
    except UserError as error:
        return [f"{key}: {error}"]
