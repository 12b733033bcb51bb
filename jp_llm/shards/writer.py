"""Token ids in, one complete shard out, or nothing at all."""

import errno
import hashlib
import os
import shutil
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, write_json
from jp_llm.shards.format import DTYPES, IndexHeader, bin_path, idx_path, manifest_path
from jp_llm.shards.manifest import ShardManifest

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_INDEX_CHUNK = 1 << 16


class ShardWriter:
    """Writes `<prefix>.bin`, `.idx` and, last, `.json`; a context manager.

    The files take their names when the block ends without an error; otherwise none of them exists, not even those of
    an earlier shard with the same prefix. Memory: four bytes per document.

        with ShardWriter(folder / "shards/web/train-00000", "uint16") as writer:
            writer.add(ids, characters=len(text), num_bytes=len(text.encode()))
        writer.manifest
    """

    manifest: ShardManifest
    """Set when the shard is complete."""

    def __init__(self, prefix: Path, dtype: str) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
        self._prefix = prefix
        self._dtype_name = dtype
        self._dtype = DTYPES[dtype]
        self._limits = np.iinfo(self._dtype)
        self._sizes = array("i")
        self._tokens = 0
        self._characters = 0
        self._bytes = 0
        self._files = ExitStack()

    def __enter__(self) -> "ShardWriter":
        self._remove()
        with _full_disk(self._prefix):
            self._bin = _HashedFile(self._files.enter_context(atomic_writer(bin_path(self._prefix))))
        return self

    def add(self, ids: NDArray[np.integer], characters: int, num_bytes: int) -> None:
        """Append one document.

        Args:
            ids: [tokens] ids of the document, `<s>` and `</s>` included.
            characters: Unicode code points of its text.
            num_bytes: UTF-8 bytes of its text.

        Raises:
            ValueError: no ids, or an id that the type cannot hold.
            UserError: the disk is full.
        """
        if ids.ndim != 1 or not len(ids):
            raise ValueError(f"a document needs a row of at least one id, found shape {ids.shape}")
        if ids.dtype != self._dtype and (ids.min() < self._limits.min or ids.max() > self._limits.max):
            raise ValueError(f"ids {ids.min()} to {ids.max()} do not fit {self._dtype_name}")
        with _full_disk(self._prefix):
            self._bin.write(ids.astype(self._dtype, copy=False).tobytes())
        self._sizes.append(len(ids))
        self._tokens += len(ids)
        self._characters += characters
        self._bytes += num_bytes

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            with _full_disk(self._prefix):
                self._files.__exit__(kind, error, traceback)
            return
        try:
            with _full_disk(self._prefix):
                with self._files:
                    idx = _HashedFile(self._files.enter_context(atomic_writer(idx_path(self._prefix))))
                    self._write_index(idx)
                manifest = self._describe(idx)
                write_json(manifest_path(self._prefix), manifest.to_json())
        except BaseException:
            self._remove()
            raise
        self.manifest = manifest

    def _write_index(self, file: "_HashedFile") -> None:
        sizes = np.frombuffer(self._sizes, dtype=np.int32) if self._sizes else np.empty(0, np.int32)
        file.write(IndexHeader(self._dtype_name, len(sizes)).pack())
        file.write(sizes.astype("<i4", copy=False).tobytes())
        start = 0
        for first in range(0, len(sizes), _INDEX_CHUNK):
            lengths = sizes[first : first + _INDEX_CHUNK].astype(np.int64) * self._dtype.itemsize
            ends = start + np.cumsum(lengths)
            file.write((ends - lengths).astype("<i8").tobytes())
            start = int(ends[-1])
        for first in range(0, len(sizes) + 1, _INDEX_CHUNK):
            file.write(np.arange(first, min(first + _INDEX_CHUNK, len(sizes) + 1), dtype="<i8").tobytes())

    def _describe(self, idx: "_HashedFile") -> ShardManifest:
        return ShardManifest(
            name=_shard_name(self._prefix),
            documents=len(self._sizes),
            tokens=self._tokens,
            characters=self._characters,
            bytes=self._bytes,
            dtype=self._dtype_name,
            bin_bytes=self._bin.size,
            bin_sha256=self._bin.digest.hexdigest(),
            idx_bytes=idx.size,
            idx_sha256=idx.digest.hexdigest(),
        )

    def _remove(self) -> None:
        # The manifest goes first, so that what is left at any moment is not taken for a shard.
        for path in (manifest_path(self._prefix), idx_path(self._prefix), bin_path(self._prefix)):
            path.unlink(missing_ok=True)


class _HashedFile:
    """A file that is hashed while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)


def _shard_name(prefix: Path) -> str:
    """Path relative to the dataset folder, which is the one that holds `shards`."""
    parts = prefix.parts[-3:]
    return "/".join(parts) if parts[0] == "shards" else prefix.name


@contextmanager
def _full_disk(prefix: Path) -> Iterator[None]:
    """Turn the errors of a full disk into one that a person can mend."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        folder = next(path for path in (prefix.parent, *prefix.parents) if path.exists())
        free = shutil.disk_usage(folder).free / 1e6
        raise UserError(
            f"{bin_path(prefix)}: {os.strerror(error.errno)}; {free:,.1f} MB are free in {folder}. Nothing of this "
            "shard was kept: free some space (or raise the quota) and run the same command again"
        ) from error
