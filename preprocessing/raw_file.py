"""One opened input as a reader sees it: a file, a byte range of a file, or a member of an archive, decompressed."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from preprocessing.document import Document, Rejected

_SHOWN_BYTES = 120


@dataclass(frozen=True)
class RawFile:
    """A stream of bytes with its provenance; `document` and `reject` are how a reader states what it found."""

    source: str
    file: str
    """Path as given in the configuration."""
    member: str | None
    name: str
    """Unique within the source: path below the common folder of its files, then the member."""
    stream: io.BufferedReader
    start: int = 0
    """Offset of the first byte of `stream` in the file."""

    def document(self, position: int, text: str, meta: dict[str, Any] | None = None) -> Document:
        """The document that starts at byte `position`."""
        return Document(f"{self.source}/{self.name}#{position}", text, self.source, meta or {})

    def reject(self, position: int, reason: str, raw: bytes) -> Rejected:
        """The record that starts at byte `position` and is no document."""
        return Rejected(self.file, self.member, position, reason, repr(raw[:_SHOWN_BYTES]))

    def lines(self, max_bytes: int) -> Iterator[tuple[int, bytes, bool]]:
        """Offset, bytes without the line end, and whether all of the line is there.

        Lines end at byte \\n only: U+0085, U+2028 and the like stand inside valid records. Of a line of more than
        `max_bytes` only the first bytes are returned, so that one endless line cannot fill the memory.
        """
        position = self.start
        while line := self.stream.readline(max_bytes + 1):
            size = len(line)
            complete = size <= max_bytes or line.endswith(b"\n")
            rest = line
            while not rest.endswith(b"\n") and (rest := self.stream.readline(1 << 20)):
                size += len(rest)
            yield position, line.rstrip(b"\r\n") if complete else line, complete
            position += size

    def whole(self, max_bytes: int) -> tuple[bytes, bool]:
        """The content, or its first `max_bytes`, and whether that is all."""
        data = self.stream.read(max_bytes + 1)
        return data[:max_bytes], len(data) <= max_bytes
