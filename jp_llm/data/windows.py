"""A stream of documents as windows of seq_length + 1 ids: cut wherever one ends, or packed with whole documents."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jp_llm.data.packing import pack, pieces_of
from jp_llm.data.stream import TokenStream
from jp_llm.shards.manifest import TokenizerRecord

PADDING = -1
"""Number of the document of padding."""

Ids = NDArray[np.int64]


class Windows(Protocol):
    """The windows of one source and split."""

    num_windows: int
    num_predicted: int
    """Tokens that are predicted in all windows together."""

    def read(self, windows: NDArray[np.int64]) -> Ids:
        """Windows [n] -> their ids [n, seq_length + 1].

        Raises:
            UserError: a shard is absent or has another size, or an id is not in the vocabulary.
        """
        ...

    def documents(self, windows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """[n, seq_length + 1]: which document of its window each id belongs to, from 0, or PADDING. None where windows
        are not made of documents."""
        ...

    def predicted(self, windows: NDArray[np.int64]) -> int:
        """Tokens that are predicted in these windows together."""
        ...


def num_windows(tokens: int, seq_length: int) -> int:
    """Windows in a stream that is cut: window k holds the tokens from k * seq_length to (k + 1) * seq_length, both
    included.

    Neighbours share one token, so every token but the first is predicted once. What is left at the end is shorter than
    a window and is not used.
    """
    return max(0, (tokens - 1) // seq_length)


class CutWindows:
    """See `num_windows`."""

    def __init__(self, stream: TokenStream, seq_length: int) -> None:
        self._stream = stream
        self._seq_length = seq_length
        self.num_windows = num_windows(stream.num_tokens, seq_length)
        self.num_predicted = self.num_windows * seq_length

    def read(self, windows: NDArray[np.int64]) -> Ids:
        """See `Windows`."""
        rows = np.empty((len(windows), self._seq_length + 1), np.int64)
        starts = (windows * self._seq_length).tolist()
        for row, start in zip(rows, starts, strict=True):
            self._stream.fill(row, start)
        self._stream.check(rows, ((start, self._seq_length + 1) for start in starts))
        return rows

    def documents(self, windows: NDArray[np.int64]) -> None:
        """See `Windows`."""

    def predicted(self, windows: NDArray[np.int64]) -> int:
        """See `Windows`."""
        return len(windows) * self._seq_length


class PackedWindows:
    """Every document in as few windows as it can be, the rest of a window filled with padding (`jp_llm.data.packing`).

    Where one id stands before a document and ends it (bos_id == eos_id), it is also put behind each: the first token of
    the next document is not predicted, and nothing else would teach a model to stop.
    """

    def __init__(self, stream: TokenStream, seq_length: int, tokenizer: TokenizerRecord) -> None:
        self._stream = stream
        self._capacity = seq_length + 1
        closed = tokenizer.eos_id in (None, tokenizer.start_id)
        pad_id = tokenizer.pad_id
        usable = pad_id is not None and 0 <= pad_id < tokenizer.vocab_size
        self._padding = pad_id if usable else tokenizer.start_id if tokenizer.eos_id is None else tokenizer.eos_id
        lengths = stream.document_lengths()
        self._packing = pack(pieces_of(lengths, seq_length, closed=closed), self._capacity)
        self._ends = np.cumsum(lengths) if closed else None
        self._closing = tokenizer.start_id
        self.num_windows = self._packing.num_windows
        self.num_predicted = int(self._packing.predicted.sum(dtype=np.int64))

    def read(self, windows: NDArray[np.int64]) -> Ids:
        """See `Windows`."""
        rows = np.full((len(windows), self._capacity), self._padding, np.int64)
        stretches: list[tuple[int, int]] = []
        for row, window in zip(rows, windows.tolist(), strict=True):
            place = 0
            for start, size in zip(
                self._packing.starts(window).tolist(), self._packing.sizes(window).tolist(), strict=True
            ):
                stored = self._stored(start, size)
                self._stream.fill(row[place : place + stored], start)
                row[place + stored : place + size] = self._closing
                stretches.append((start, stored))
                place += size
        self._stream.check(rows, stretches)
        return rows

    def documents(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Windows`."""
        rows = np.full((len(windows), self._capacity), PADDING, np.int64)
        for row, window in zip(rows, windows.tolist(), strict=True):
            sizes = self._packing.sizes(window)
            row[: sizes.sum()] = np.repeat(np.arange(len(sizes)), sizes)
        return rows

    def predicted(self, windows: NDArray[np.int64]) -> int:
        """See `Windows`."""
        return int(self._packing.predicted[windows].sum(dtype=np.int64))

    def _stored(self, start: int, size: int) -> int:
        """How many of the tokens of a piece stand in the stream; at most the last of a document does not."""
        if self._ends is None:
            return size
        end = int(self._ends[np.searchsorted(self._ends, start, side="right")])
        return min(size, end - start)
