"""Memory-mapped access to the ids of one shard."""

import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json
from jp_llm.shards.format import DTYPES, HEADER_BYTES, bin_path, idx_path, manifest_path
from jp_llm.shards.manifest import REMEDY, ShardManifest

Ids = NDArray[np.uint16 | np.int32]


class ShardReader:
    """Documents, or any stretch of tokens, of one shard.

    Files are opened on first use: `.bin` for tokens, `.idx` only for documents. What is opened is compared with the
    manifest, by size and header; bytes are compared by `DatasetManifest.check_files`.

    Args:
        prefix: path of the shard without suffix.
        manifest: what the shard should be; read from `<prefix>.json` if not given.

    Raises:
        UserError: a file is absent or is not what the manifest says. So do the methods, on first use.
    """

    def __init__(self, prefix: Path, manifest: ShardManifest | None = None) -> None:
        self._prefix = prefix
        self.manifest = manifest or _read_manifest(prefix)

    @property
    def num_documents(self) -> int:
        """Documents of the shard."""
        return self.manifest.documents

    @property
    def num_tokens(self) -> int:
        """Tokens of the shard."""
        return self.manifest.tokens

    def document(self, index: int) -> Ids:
        """Ids of one document, [tokens]: a read-only view of the file."""
        if not 0 <= index < self.num_documents:
            raise IndexError(f"document {index} of {self.num_documents}")
        sizes, pointers = self._index
        start = int(pointers[index]) // self._dtype.itemsize
        return self.tokens(start, start + int(sizes[index]))

    def document_lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, [documents]: a copy."""
        sizes, _ = self._index
        return sizes.astype(np.int64)

    def tokens(self, start: int, stop: int) -> Ids:
        """Ids from `start` up to `stop`, across document borders: a read-only view of the file, [stop - start]."""
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"tokens {start} to {stop} of {self.num_tokens}")
        if start == stop:
            return np.empty(0, self._dtype)
        # One request for exactly these pages. Left alone, the kernel reads a page at a time, or far too much around it
        # (4 KB windows from a cold disk: 0.6 ms each with its own read-ahead, 0.07 ms like this).
        begin = start * self._dtype.itemsize // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, begin, stop * self._dtype.itemsize - begin)
        return self._ids[start:stop]

    @property
    def _dtype(self) -> np.dtype[Any]:
        return DTYPES[self.manifest.dtype]

    @cached_property
    def _map(self) -> mmap.mmap:
        path = bin_path(self._prefix)
        mapped = _mapped(path, self.manifest.bin_bytes)
        mapped.madvise(mmap.MADV_RANDOM)
        return mapped

    @cached_property
    def _ids(self) -> Ids:
        return np.frombuffer(self._map, self._dtype)

    @cached_property
    def _index(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Tokens and first byte of each document."""
        path, count = idx_path(self._prefix), self.num_documents
        mapped = _mapped(path, self.manifest.idx_bytes)
        if problems := self.manifest.header_problems(path):
            raise UserError(*problems)
        sizes = np.frombuffer(mapped, "<i4", count, HEADER_BYTES)
        pointers = np.frombuffer(mapped, "<i8", count, HEADER_BYTES + sizes.nbytes)
        if count and (pointers[0] or pointers[-1] + sizes[-1] * self._dtype.itemsize != self.manifest.bin_bytes):
            raise UserError(f"{path}: its documents do not fill {bin_path(self._prefix)}; {REMEDY}")
        return sizes, pointers


def _read_manifest(prefix: Path) -> ShardManifest:
    path = manifest_path(prefix)
    try:
        return ShardManifest.from_json(read_json(path))
    except FileNotFoundError:
        raise UserError(f"{path}: missing, so this shard is unfinished; {REMEDY}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; {REMEDY}") from error


def _mapped(path: Path, size: int) -> mmap.mmap:
    """Map a whole file of a known size, read-only."""
    try:
        with path.open("rb") as file:
            actual = file.seek(0, 2)
            if actual != size:
                raise UserError(f"{path}: {actual:,} bytes, but the manifest says {size:,}; {REMEDY}")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {REMEDY}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {REMEDY}") from error
