"""The files that tweets come in: one object per line, or JSON of any layout, or a part of a personal archive."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from preprocessing.document import Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._json_objects import Objects

_HEAD_BYTES = 4096
_PIECE_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SCRIPT = re.compile(rb"(?:window|Grailbird)\.\w+(?:\.\w+)*")
_TWEETS = re.compile(rb"(?:window\.YTD\.(?:community_)?tweets?\.part\d+|Grailbird\.data\.tweets_\d+_\d+)\s*=\s*(?=\[)")
"""What precedes the array in the tweets of an archive, as of today and, Grailbird, until 2018."""
_ENTRY = re.compile(rb'\{\s*"tweet"\s*:')
_OPENS_LAYOUT = re.compile(rb"\[|\{[ \t]*\r?\n")


def tweet_records(raw: RawFile, max_bytes: int, *, lines: bool) -> Iterator[tuple[int, bytes, str | None] | Rejected]:
    """Offset, bytes and problem (see `Objects.find`) of every object of a file.

    Lines are taken one by one, so that a damaged one costs only itself, unless the file begins with an array, with
    half an object or as part of an archive. Of any part of an archive but its tweets not a byte is kept.

    Args:
        raw: the file, or what lies in it behind a cut.
        max_bytes: of an object.
        lines: take what is no other part of an archive line by line in any case.
    """
    if raw.start:
        yield from _lines(raw, max_bytes)
        return
    head = raw.stream.read(_HEAD_BYTES)
    body = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if script := _SCRIPT.match(body):
        if not (tweets := _TWEETS.match(body)):
            yield raw.reject(raw.start, "private_part", script[0])
            return
        body = body[tweets.end() :]
    if lines or not (script or _OPENS_LAYOUT.match(body)):
        stream: io.BufferedReader = io.BufferedReader(_Joined(head, raw.stream), _PIECE_BYTES)
        yield from _lines(replace(raw, stream=stream), max_bytes)
        return
    beginning = _ENTRY if script else None
    pieces = chain((body,), iter(lambda: raw.stream.read(_PIECE_BYTES), b""))
    yield from Objects(max_bytes, beginning).find(pieces, raw.start + len(head) - len(body))


def _lines(raw: RawFile, max_bytes: int) -> Iterator[tuple[int, bytes, str | None]]:
    for position, line, complete in raw.lines(max_bytes):
        if line.strip():
            yield position, line, None if complete else "too_large"


class _Joined(io.RawIOBase):
    """Bytes that were read already, then the rest of their stream."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        data = self._head[: len(target)] or self._rest.read1(len(target))
        self._head = self._head[len(data) :]
        target[: len(data)] = data
        return len(data)
