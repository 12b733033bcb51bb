"""A file, or a range of it, whose bytes are hashed while they are read."""

import io
from hashlib import blake2b
from typing import Any, BinaryIO

_CHUNK_BYTES = 1 << 20


class HashedFile(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: Any, size: int) -> None:
        self._file: BinaryIO = file
        self._size = size
        self._position = 0
        self._digest = blake2b(digest_size=16)

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """Bytes that have been read."""
        return self._position

    def readinto(self, target: Any) -> int:
        data = self._file.read(min(len(target), self._size - self._position))
        target[: len(data)] = data
        self._position += len(data)
        self._digest.update(data)
        return len(data)

    def finish(self) -> str:
        """BLAKE2b (128 bits, hex) of all bytes, also of those that nobody wanted."""
        while self.read(_CHUNK_BYTES):
            pass
        return self._digest.hexdigest()
