"""Documents to be scored: read one by one, and chosen by their content where there is a limit."""

import bisect
import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from jp_llm.runtime.errors import UserError

_SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".jsonl.zst")
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Text:
    """One document."""

    source: str
    text: str


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The held-out files of dataset folders, and the files that are named, in order.

    Raises:
        UserError: a path does not exist, holds no held-out documents, or has no known suffix.
    """
    found, problems = [], []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("documents/*/validation-*.jsonl.zst"))
            found += inside
            if not inside:
                problems.append(
                    f"{path}: no held-out documents (documents/<source>/validation-*.jsonl.zst); name the output "
                    "folder of launch/preprocess.py, or files"
                )
        elif not path.is_file():
            problems.append(f"{path}: no such file")
        elif not path.name.endswith(_SUFFIXES):
            problems.append(f"{path}: not one of {', '.join(_SUFFIXES)}")
        else:
            found.append(path)
    if problems:
        raise UserError(*problems)
    return found


def read_texts(path: Path) -> Iterator[Text]:
    """Documents of one file. A plain text, or a record without "source", belongs to a source named like the file.

    Raises:
        UserError: the file is truncated or damaged, not UTF-8, or a line is no record with "text".
    """
    source = path.name.split(".")[0]
    try:
        if path.suffix == ".txt":
            yield Text(source, path.read_bytes().decode("utf-8-sig"))
            return
        for number, line in enumerate(_lines(path), start=1):
            yield _record(line, source, f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); convert it first") from error
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise UserError(f"{path}: cannot be read to its end ({error}); copy or write it again") from error


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


def _lines(path: Path) -> Iterator[bytes]:
    rest = b""
    for piece in _pieces(path):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _pieces(path: Path) -> Iterator[bytes]:
    if path.suffix == ".zst":
        yield from _zstd_pieces(path)
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _zstd_pieces(path: Path) -> Iterator[bytes]:
    """Frame by frame, because the library's own stream reader takes a cut-off frame for the end of the file."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    inside = False
    with path.open("rb") as file:
        while data := file.read(_PIECE_BYTES):
            while data:
                inside = True
                yield frame.decompress(data)
                data = b""
                if frame.eof:
                    data, inside = frame.unused_data, False
                    frame = zstandard.ZstdDecompressor().decompressobj()
    if inside:
        raise EOFError("the zstd stream is cut off")


def _record(line: bytes, source: str, where: str) -> Text:
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise UserError(f'{where}: not a JSON object with a string "text"')
    return Text(str(record.get("source", source)), text)
