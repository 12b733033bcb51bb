"""Bytes to text: strict, one document at a time, never by guessing from statistics."""

from collections.abc import Sequence
from typing import Literal

Encoding = Literal["utf-8", "cp932", "euc-jp"]
"""cp932 rather than shift_jis: 髙, ① and ㈱ exist only there, and the wave dash 81 60 becomes U+FF5E."""


class Undecodable(Exception):
    """`reason` becomes the name of a counter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(raw: bytes, encodings: Sequence[Encoding]) -> str:
    """Decode with the first encoding that fits every byte; a byte-order mark at the start is dropped.

    Raises:
        Undecodable: `utf16`, `binary` (a zero byte: no text in any of these encodings has one) or `encoding`.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Undecodable("utf16")
    if b"\0" in raw:
        raise Undecodable("binary")
    for encoding in encodings:
        try:
            return raw.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
    raise Undecodable("encoding")
