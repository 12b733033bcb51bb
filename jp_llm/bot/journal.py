"""What a bot has done, durable: an intent is on disk before X hears of the text, the answer is on disk after it.

A crash between the two leaves an intent without an answer. Whether that text is on X cannot be known, so it counts as
posted: a text is posted at most once.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fsync_directory

JOURNAL = "journal.jsonl"
REJECTED = "rejected.jsonl"

Answer = Literal["posted", "refused", "not_sent", "unknown"]
"""posted: X gave it a number. refused: X does not want it. not_sent: it never reached X, so it may be tried again.
unknown: it may be on X or not."""


@dataclass(frozen=True)
class Open:
    """An intent without an answer."""

    text: str
    time: datetime
    keys: frozenset[str]


class Journal:
    """The files of `state_dir`. Only the bot that holds the folder's lock may write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spent: set[str] = set()
        self._open: dict[str, Open] = {}
        self._rejected: set[tuple[str, str]] = set()
        self.last_post: datetime | None = None
        for entry in _entries(
            folder / JOURNAL, "event", "mend it from a copy, because without it a text may be posted twice"
        ):
            self._take(entry)
        for entry in _entries(folder / REJECTED, "reason", "delete it; it only says why a text was not posted"):
            self._rejected.add((entry["key"], entry["reason"]))

    @property
    def unanswered(self) -> list[Open]:
        """Texts of intents that a crash left without an answer."""
        return list(self._open.values())

    def is_spent(self, text: str, written: str) -> bool:
        """Whether a text must not be posted (again), or another part of `written` was."""
        return key_of(text) in self._spent or key_of(written) in self._spent

    def intend(self, text: str, written: str, now: datetime) -> None:
        """Before X hears of it.

        Args:
            text: what is posted.
            written: what it was made of, by leaving out its prompt or its end.
        """
        keys = {"key": key_of(text), "written": key_of(written)}
        self._write({"event": "intent", **keys, "time": now.isoformat(), "text": text})

    def answer(self, text: str, answer: Answer, now: datetime, **details: Any) -> None:
        """What became of the intent."""
        self._write({"event": answer, "key": key_of(text), "time": now.isoformat(), **details})

    def reject(self, text: str, reason: str, now: datetime) -> bool:
        """Log a text that does not pass the checks, once for every reason; returns whether it is new."""
        entry = {"key": key_of(text), "time": now.isoformat(), "reason": reason, "text": text}
        if (entry["key"], reason) in self._rejected:
            return False
        self._rejected.add((entry["key"], reason))
        _append(self._folder / REJECTED, entry)
        return True

    def _write(self, entry: dict[str, Any]) -> None:
        _append(self._folder / JOURNAL, entry)
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        key, time = entry["key"], datetime.fromisoformat(entry["time"]).astimezone(UTC)
        match entry["event"]:
            case "intent":
                keys = frozenset({key, entry.get("written", key)})
                self._spent |= keys
                self._open[key] = Open(entry["text"], time, keys)
            case "not_sent":
                if (intent := self._open.pop(key, None)) is not None:
                    self._spent -= intent.keys
            case "posted" | "unknown":
                self._open.pop(key, None)
                self.last_post = time
            case _:
                self._open.pop(key, None)


def key_of(text: str) -> str:
    """By which a text is known: its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _entries(path: Path, field: str, remedy: str) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    *lines, _half = path.read_bytes().split(b"\n")  # a crash while it was written: X never heard of that intent
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            datetime.fromisoformat(entry["time"])
            texts = ("key", field, *(["text"] if entry[field] == "intent" else []))
            if not all(isinstance(entry[name], str) for name in texts):
                raise TypeError(field)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: line {number} is damaged; {remedy}") from error
        yield entry


def _append(path: Path, entry: dict[str, Any]) -> None:
    line = (json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
    is_new = not path.exists()
    with path.open("ab+") as file:
        _cut_half_line(file.fileno())
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        fsync_directory(path.parent)


def _cut_half_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    while size and os.pread(descriptor, 1, size - 1) != b"\n":
        size -= 1
    os.ftruncate(descriptor, size)
