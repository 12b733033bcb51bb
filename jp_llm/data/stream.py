"""The shards of one source and split, read as one stream of tokens."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.shards.format import bin_path
from jp_llm.shards.manifest import REMEDY, ShardManifest
from jp_llm.shards.reader import ShardReader

MAX_OPEN_SHARDS = 256
"""Files that are mapped at the same time, per process; the usual limit of open files is 1,024."""

Stretch = tuple[int, int]
"""First token and number of tokens."""


class ShardPool:
    """Shards of a dataset by name, of which the last used are kept open. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A shard that falls out is closed when the last view of its tokens is gone.
        self.reader = lru_cache(MAX_OPEN_SHARDS)(self._open)

    def _open(self, shard: ShardManifest) -> ShardReader:
        return ShardReader(self.folder / shard.name, shard)


class TokenStream:
    """The tokens of `shards`, one after the other.

    Args:
        pool: where the shards are opened.
        shards: in the order of the stream.
        vocab_size: ids from this on are refused.
    """

    def __init__(self, pool: ShardPool, shards: Sequence[ShardManifest], vocab_size: int) -> None:
        self._pool = pool
        self._shards = shards
        self._vocab_size = vocab_size
        self._starts = np.cumsum([0, *(shard.tokens for shard in shards)], dtype=np.int64)
        self.num_tokens = int(self._starts[-1])

    def document_lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, from the `.idx` files: [documents].

        Raises:
            UserError: one is absent or not what its manifest says.
        """
        # Readers of their own, so that no index stays open.
        found = [ShardReader(self._pool.folder / shard.name, shard).document_lengths() for shard in self._shards]
        return np.concatenate([np.empty(0, np.int64), *found])

    def fill(self, row: NDArray[np.int64], start: int) -> None:
        """Copy as many tokens from `start` on as `row` holds; `check` them before they are used."""
        shard = int(np.searchsorted(self._starts, start, side="right")) - 1
        filled = 0
        while filled < len(row):
            manifest = self._shards[shard]
            begin = start + filled - int(self._starts[shard])
            ids = self._pool.reader(manifest).tokens(begin, min(begin + len(row) - filled, manifest.tokens))
            row[filled : filled + len(ids)] = ids
            filled += len(ids)
            shard += 1

    def check(self, rows: NDArray[np.int64], stretches: Iterable[Stretch]) -> None:
        """
        Args:
            rows: ids of any shape that came from `stretches`.

        Raises:
            UserError: one of them is not in the vocabulary; names its place.
        """
        if rows.max(initial=0) < self._vocab_size and rows.min(initial=0) >= 0:
            return
        for start, size in stretches:
            ids = np.empty(size, np.int64)
            self.fill(ids, start)
            for column in np.flatnonzero((ids >= self._vocab_size) | (ids < 0)).tolist():
                self._refuse(int(ids[column]), start + column)

    def _refuse(self, token: int, position: int) -> None:
        shard = int(np.searchsorted(self._starts, position, side="right")) - 1
        path = bin_path(self._pool.folder / self._shards[shard].name)
        raise UserError(
            f"{path}: id {token} at token {position - int(self._starts[shard]):,}, but the tokenizer of this dataset "
            f"has {self._vocab_size:,} ids; check the files with launch/check_shards.py; if they are intact, {REMEDY}"
        )
