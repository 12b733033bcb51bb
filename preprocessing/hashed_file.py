"""A file, or a range of it, whose bytes are hashed while they are read."""

import io
from hashlib import blake2b
from typing import Any, BinaryIO

from jp_llm.texts.streams import DamagedFile

_CHUNK_BYTES = 1 << 20


class HashedFile(io.RawIOBase):
    """The next `size` bytes of a file, or all that follow."""

    def __init__(self, file: Any, name: str, size: int | None = None) -> None:
        self._file: BinaryIO = file
        self._name = name
        self._size = size
        self._position = 0
        self._digest = blake2b(digest_size=16)
        self._in_order = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._size is None and self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere in a whole file; it is then hashed once more when it is finished."""
        if not self.seekable():
            raise io.UnsupportedOperation("a range of a file is read in order")
        before, self._position = self._position, self._file.seek(offset, whence)
        self._in_order &= self._position == before
        return self._position

    def tell(self) -> int:
        """Bytes that have been read, or the place that was sought."""
        return self._position

    def readinto(self, target: Any) -> int:
        wanted = len(target) if self._size is None else min(len(target), self._size - self._position)
        try:
            data = self._file.read(wanted)
        except OSError as error:  # of the disk, here and not where documents are written
            raise DamagedFile(self._name, error.strerror or str(error), self._position) from error
        if wanted and not data and self._size is not None:
            problem = f"ends {self._size - self._position:,} bytes earlier than when the work was planned"
            raise DamagedFile(self._name, problem, self._position)
        target[: len(data)] = data
        self._position += len(data)
        self._digest.update(data)
        return len(data)

    def finish(self) -> str:
        """BLAKE2b (128 bits, hex) of all bytes, also of those that nobody wanted.

        Raises:
            DamagedFile: the file has become shorter, or cannot be read.
        """
        if not self._in_order:
            self._position, self._digest = self._file.seek(0), blake2b(digest_size=16)
        while self.read(_CHUNK_BYTES):
            pass
        return self._digest.hexdigest()
