"""Bytes out of files: gzip, zstd, xz and bz2 recognised by their first bytes, streamed, checked to the last byte."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import zstandard

_BUFFER_BYTES = 1 << 20
_FREE_BYTES = 64 << 20
"""Output that no ratio limits: a small file of one repeated line is no attack."""


class DamagedFile(Exception):
    """Input that cannot be read to its end. The message names the file (and member), the place and the reason."""

    def __init__(self, name: str, problem: str, position: int) -> None:
        super().__init__(f"{name}: {problem}")
        self.position = position
        """Decompressed bytes that could be read before the damage."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True)
class _Format:
    name: str
    magics: tuple[bytes, ...]
    new: Callable[[], _Decompressor]
    piece_bytes: int
    """Compressed bytes per step: even the densest stream (zstd, 128 KiB from 4 bytes) yields under 70 MB at once."""


# A data frame, or one of the 16 kinds of skippable frames that parallel compressors begin with.
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + kind, 0x2A, 0x4D, 0x18]) for kind in range(16)))
_FORMATS = (
    _Format("gzip", (b"\x1f\x8b",), lambda: zlib.decompressobj(wbits=31), 32 << 10),
    _Format("zstd", _ZSTD_MAGICS, lambda: zstandard.ZstdDecompressor().decompressobj(), 2 << 10),
    _Format("xz", (b"\xfd7zXZ\x00",), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), 8 << 10),
    _Format("bz2", (b"BZh",), bz2.BZ2Decompressor, 2 << 10),
)
_ERRORS = (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, ValueError)


def compression_of(head: bytes) -> str | None:
    """Name of the compression that a file with these first bytes has; None for plain bytes."""
    found = _format_of(head)
    return found.name if found else None


def decompressed(
    file: Any, name: str, max_ratio: float, remedy: str = "raise max_decompression_ratio"
) -> io.BufferedReader:
    """A buffered stream of the content of `file`, whatever its compression; several frames in a row are one content.

    Args:
        file: binary, read from where it stands.
        name: for messages; the file, and the member of an archive.
        max_ratio: output bytes per input byte (beyond the first 64 MiB) that are not taken for an attack.
        remedy: what to do where more is meant, for messages.

    Raises:
        DamagedFile: while reading: the stream is cut off, corrupt, followed by other bytes or beyond `max_ratio`.
    """
    source = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, _BUFFER_BYTES)
    found = _format_of(source.peek(6))
    if found is None:
        return source
    return io.BufferedReader(Decompressed(source, found, name, max_ratio, remedy), _BUFFER_BYTES)


def _format_of(head: bytes) -> _Format | None:
    return next((item for item in _FORMATS if head.startswith(item.magics)), None)


class Decompressed(io.RawIOBase):
    """Raw stream over one compressed file. The libraries' own differ: zstandard's says nothing of a cut."""

    def __init__(self, source: io.BufferedReader, form: _Format, name: str, max_ratio: float, remedy: str) -> None:
        self._source = source
        self._format = form
        self._name = name
        self._max_ratio = max_ratio
        self._remedy = remedy
        self._decompressor: _Decompressor | None = form.new()
        self._pending = b""
        self._ready = memoryview(b"")
        self._consumed = 0
        self._produced = 0

    def readable(self) -> bool:
        return True

    @property
    def consumed(self) -> int:
        """Compressed bytes that have been read."""
        return self._consumed

    def tell(self) -> int:
        """Bytes that have been given out."""
        return self._produced - len(self._ready)

    def readinto(self, target: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._ready and self._decompressor is not None:
            self._advance()
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _advance(self) -> None:
        """Decompress one piece of input, or start the next frame, or find the end."""
        assert self._decompressor is not None
        if self._decompressor.eof:
            self._next_frame(self._decompressor.unused_data)
            return
        data = self._pending or self._source.read(self._format.piece_bytes)
        self._consumed += 0 if self._pending else len(data)
        self._pending = b""
        if not data:
            raise self._damaged(f"the {self._format.name} stream is cut off")
        try:
            output = self._decompressor.decompress(data)
        except _ERRORS as error:
            raise self._damaged(f"the {self._format.name} stream is corrupt ({error})") from error
        self._produced += len(output)
        if self._produced > self._max_ratio * self._consumed + _FREE_BYTES:
            raise self._damaged(
                f"the {self._format.name} stream expands more than {self._max_ratio:g} times; if that is meant, "
                f"{self._remedy}"
            )
        self._ready = memoryview(output)

    def _next_frame(self, rest: bytes) -> None:
        """Another frame may follow; zero bytes are padding (tapes, xz blocks); anything else would be lost."""
        while True:
            rest = rest.lstrip(b"\0") if self._format.name in ("gzip", "xz") else rest
            if len(rest) < 6 and (more := self._source.read(self._format.piece_bytes)):
                self._consumed += len(more)
                rest += more
            else:
                break
        if not rest:
            self._decompressor = None
        elif rest.startswith(self._format.magics):
            self._decompressor, self._pending = self._format.new(), rest
        else:
            raise self._damaged(f"something that is not {self._format.name} follows the {self._format.name} stream")

    def _damaged(self, problem: str) -> DamagedFile:
        where = f"at byte {self._consumed:,} of the file; {self._produced:,} bytes of content could be read"
        return DamagedFile(self._name, f"{problem} ({where})", self._produced)
