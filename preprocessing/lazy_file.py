"""A file that appears, whole, once it is finished, if anything was written to it."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import zstandard

from jp_llm.runtime.files import atomic_writer

DOCUMENTS_LEVEL = 3
"""zstd level of documents."""


class LazyFile:
    """Opened by the first `write`, so that what stays empty leaves no file; an error leaves none either."""

    def __init__(self, path: Path, level: int | None = None) -> None:
        """
        Args:
            path: of the file.
            level: of zstd, with a checksum; None writes plain bytes.
        """
        self.path = path
        self.size = 0
        """Bytes that were written, before compression."""
        self._level = level
        self._open = ExitStack()
        self._stream: IO[bytes] | Any = None

    def __enter__(self) -> "LazyFile":
        return self

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._stream is None:
            self._stream = self._open.enter_context(atomic_writer(self.path))
            if self._level is not None:
                compressor = zstandard.ZstdCompressor(level=self._level, write_checksum=True)
                self._stream = self._open.enter_context(compressor.stream_writer(self._stream, closefd=False))
        self._stream.write(data)
        self.size += len(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    @property
    def exists(self) -> bool:
        """Whether the file is there, or will be when it is finished."""
        return self._stream is not None
