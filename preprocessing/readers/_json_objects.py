"""The outermost objects of a JSON file of any size and layout, one at a time."""

import re
from collections.abc import Iterable, Iterator

_TOKEN = re.compile(rb'"(?:[^"\\\n]++|\\.)*+"|["{}]')
"""A whole string, or a brace, or the quote that opens a string which this piece of the file does not close."""
_REST_OF_STRING = re.compile(rb'(?:[^"\\\n]++|\\.)*+')
_BETWEEN = b" \t\r\n,[];"
_SHOWN_BYTES = 1000


class Objects:
    """Objects of arrays, of several in a row or of one over many lines; what encloses and separates them is ignored.

    Holds one object and one piece of the file at a time. No string of JSON holds a newline, so one that is not closed
    ends there: a damaged string costs its own object and not all that follow.
    """

    def __init__(self, max_bytes: int, beginning: re.Pattern[bytes] | None = None) -> None:
        """
        Args:
            max_bytes: of an object that is kept whole.
            beginning: of an outermost object, and of no other: where it stands inside one, that one lacks its end.
        """
        self._max_bytes = max_bytes
        self._beginning = beginning
        self._depth = 0
        self._inside = False
        self._in_string = False
        self._escaped = False
        self._start = 0
        self._size = 0
        self._kept: list[bytes] = []

    def find(self, pieces: Iterable[bytes], position: int) -> Iterator[tuple[int, bytes, str | None]]:
        """Offset, bytes and what is wrong with them: None for an object, `too_large` for one of more than `max_bytes`
        (its first bytes), `no_object` for anything else between objects, `json` for one that has no end.

        Args:
            pieces: of the file, in order.
            position: of the first byte.
        """
        for piece in pieces:
            begin = 0
            for end, depth in self._braces(piece):
                if depth == 0:
                    self._keep(piece[begin : end + 1])
                    yield self._start, b"".join(self._kept), None if self._size <= self._max_bytes else "too_large"
                    self._inside, begin = False, end + 1
                    continue
                if self._inside:
                    self._keep(piece[begin:end])
                    yield self._start, b"".join(self._kept), "json"
                else:
                    yield from self._between(piece[begin:end], position + begin)
                begin = end
                self._inside, self._start, self._size, self._kept = True, position + begin, 0, []
            if self._inside:
                self._keep(piece[begin:])
            else:
                yield from self._between(piece[begin:], position + begin)
            position += len(piece)
        if self._inside:
            yield self._start, b"".join(self._kept), "json"

    def _braces(self, piece: bytes) -> Iterator[tuple[int, int]]:
        """Place of every brace that begins or ends an outermost object, and the depth after it (1 or 0)."""
        place = self._after_string(piece, 0) if self._in_string else 0
        while place < len(piece):
            for token in _TOKEN.finditer(piece, place):
                sign = token[0]
                if sign == b"{":
                    self._depth += 1
                    if self._depth == 1 or (self._beginning and self._beginning.match(piece, token.start())):
                        self._depth = 1
                        yield token.start(), 1
                elif sign == b"}":
                    if self._depth == 1:
                        self._depth = 0
                        yield token.start(), 0
                    elif self._depth:
                        self._depth -= 1
                elif sign == b'"':
                    place = self._after_string(piece, token.end())
                    break
            else:
                return

    def _after_string(self, piece: bytes, place: int) -> int:
        """Where a string that is open at `place` ends: behind its quote, or before a newline, or with the piece."""
        if self._escaped and piece[place : place + 1] != b"\n":
            place += 1
        match = _REST_OF_STRING.match(piece, place)
        assert match is not None
        end = match.end()
        self._escaped = piece[end:] == b"\\"
        self._in_string = self._escaped or end == len(piece)
        return len(piece) if self._in_string else end + 1

    def _keep(self, data: bytes) -> None:
        if self._size <= self._max_bytes:
            self._kept.append(data)
        self._size += len(data)

    def _between(self, data: bytes, position: int) -> Iterator[tuple[int, bytes, str | None]]:
        if rest := data.strip(_BETWEEN):
            yield position + data.index(rest), rest[:_SHOWN_BYTES], "no_object"
