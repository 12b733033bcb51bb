"""Documents of files and dataset folders, one by one, and chosen by their content where there is a limit."""

import bisect
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jp_llm.runtime.errors import UserError
from jp_llm.texts.records import opened, read_records

_SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst")


@dataclass(frozen=True)
class Text:
    """One document."""

    source: str
    text: str


Part = Literal["train", "validation"]


def find_files(paths: Iterable[Path], part: Part = "validation") -> list[Path]:
    """The files of one part (the held-out one) of dataset folders, and the files that are named, in order.

    Raises:
        UserError: a path does not exist, holds no documents of this part, or has no known suffix.
    """
    words = {"train": "training", "validation": "held-out"}[part]
    found, problems = [], []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob(f"documents/*/{part}-*.jsonl.zst"))
            found += inside
            if not inside:
                problems.append(
                    f"{path}: no {words} documents (documents/<source>/{part}-*.jsonl.zst); name the output "
                    "folder of launch/preprocess.py, or files"
                )
        elif not path.is_file():
            problems.append(f"{path}: no such file; name files, or the output folder of launch/preprocess.py")
        elif not path.name.endswith(_SUFFIXES):
            problems.append(f"{path}: not one of {', '.join(_SUFFIXES)}")
        else:
            found.append(path)
    if problems:
        raise UserError(*problems)
    return found


def read_documents(path: Path) -> Iterator[Text]:
    """Documents of one file. A plain text, or a record without "source", belongs to a source named like the file.

    Raises:
        UserError: the file is truncated or damaged, not UTF-8, or a line is no record with "text".
    """
    name = path.name.split(".")[0]
    if path.suffix == ".txt":
        with opened(path) as file:
            yield Text(name, _decoded(path, file.read()))
        return
    for source, text in read_records(path):
        yield Text(name if source is None else source, text)


def choose(texts: Iterable[Text], max_documents: int | None, max_characters: int | None) -> Iterator[Text]:
    """At most so many documents and characters of each source: those with the smallest hashes of their content.

    So neither the order of the documents nor their division into files changes the choice, and a larger limit only
    adds documents. A source always gives one document, whatever its length. Without a limit nothing is held in memory.
    """
    if max_documents is None and max_characters is None:
        yield from texts
        return
    chosen: dict[str, _Smallest] = defaultdict(lambda: _Smallest(max_documents, max_characters))
    for text in texts:
        chosen[text.source].offer(text)
    for source in chosen.values():
        yield from source.kept


class _Smallest:
    """The longest beginning, within the limits, of the documents in the order of their hashes."""

    def __init__(self, max_documents: int | None, max_characters: int | None) -> None:
        self.kept: list[Text] = []
        self._hashes: list[bytes] = []
        self._characters = 0
        self._bound: bytes | None = None  # a document with this hash did not fit, so none behind it is taken
        self._max_documents, self._max_characters = max_documents, max_characters

    def offer(self, text: Text) -> None:
        key = hashlib.sha256(text.text.encode()).digest()
        if self._bound is not None and key >= self._bound:
            return
        place = bisect.bisect_right(self._hashes, key)
        self._hashes.insert(place, key)
        self.kept.insert(place, text)
        self._characters += len(text.text)
        while len(self.kept) > 1 and self._too_much():
            self._characters -= len(self.kept.pop().text)
            self._bound = self._hashes.pop()

    def _too_much(self) -> bool:
        return (self._max_documents is not None and len(self.kept) > self._max_documents) or (
            self._max_characters is not None and self._characters > self._max_characters
        )


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); convert it first") from error
