"""The shards of one source and split, read as one stream of tokens cut into windows."""

from collections.abc import Sequence
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


def num_windows(tokens: int, seq_length: int) -> int:
    """Windows in a stream: window k holds the tokens from k * seq_length to (k + 1) * seq_length, both included.

    Neighbours share one token, so every token but the first is predicted once. What is left at the end is shorter than
    a window and is not used.
    """
    return max(0, (tokens - 1) // seq_length)


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
        seq_length: tokens that a window predicts.
        vocab_size: ids from this on are refused.
    """

    def __init__(self, pool: ShardPool, shards: Sequence[ShardManifest], seq_length: int, vocab_size: int) -> None:
        self._pool = pool
        self._shards = shards
        self._seq_length = seq_length
        self._vocab_size = vocab_size
        self._starts = np.cumsum([0, *(shard.tokens for shard in shards)], dtype=np.int64)
        self.num_tokens = int(self._starts[-1])
        self.num_windows = num_windows(self.num_tokens, seq_length)

    def read(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Windows [n] -> their ids [n, seq_length + 1].

        Raises:
            UserError: a shard is absent or has another size, or an id is not in the vocabulary.
        """
        rows = np.empty((len(windows), self._seq_length + 1), np.int64)
        starts = windows * self._seq_length
        shards = np.searchsorted(self._starts, starts, side="right") - 1
        for row, start, shard in zip(rows, starts.tolist(), shards.tolist(), strict=True):
            self._fill(row, start, shard)
        if rows.max(initial=0) >= self._vocab_size or rows.min(initial=0) < 0:
            row, column = np.argwhere((rows >= self._vocab_size) | (rows < 0))[0]
            self._refuse(int(rows[row, column]), int(starts[row] + column))
        return rows

    def _fill(self, row: NDArray[np.int64], start: int, shard: int) -> None:
        """Copy the tokens from `start` on, the first of which lies in `shard`."""
        filled = 0
        while filled < len(row):
            manifest = self._shards[shard]
            begin = start + filled - int(self._starts[shard])
            ids = self._pool.reader(manifest).tokens(begin, min(begin + len(row) - filled, manifest.tokens))
            row[filled : filled + len(ids)] = ids
            filled += len(ids)
            shard += 1

    def _refuse(self, token: int, position: int) -> None:
        shard = int(np.searchsorted(self._starts, position, side="right")) - 1
        path = bin_path(self._pool.folder / self._shards[shard].name)
        raise UserError(
            f"{path}: id {token} at token {position - int(self._starts[shard]):,}, but the tokenizer of this dataset "
            f"has {self._vocab_size:,} ids; check the files with launch/check_shards.py; if they are intact, {REMEDY}"
        )
