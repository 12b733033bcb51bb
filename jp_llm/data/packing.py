"""Whole documents in windows: which pieces of text lie in which window. Pure arithmetic on lengths.

Best-fit decreasing (Johnson 1973; for language models Ding et al. 2024, "Fewer Truncations Improve Language Modeling",
section 2.2): the longest piece first, each into the fullest window that has room for it. There are as many different
lengths as a window has places, so pieces of one length and windows with the same room are dealt with together.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PACKING = "best-fit-decreasing"
"""Names the rule in the fingerprint of a dataset."""

Numbers = NDArray[np.int64]


class Pieces(NamedTuple):
    """Stretches of a stream of tokens that are read as one, in the order of the stream. All but the first token of a
    piece are predicted, so pieces of one document share a token."""

    starts: Numbers
    """[n] first token."""
    sizes: NDArray[np.int32]
    """[n] tokens, 2 or more."""


def pieces_of(lengths: Numbers, seq_length: int, *, closed: bool = False) -> Pieces:
    """Cut the documents of a stream that lie one after the other, where they do not fit.

    Args:
        lengths: [documents] tokens.
        seq_length: tokens that a piece predicts at most.
        closed: one more token, which is not in the stream, ends each document.

    Returns:
        One piece per document that fits; of a longer one, whole windows and what is left. Documents in which nothing is
        predicted give none.
    """
    begins = np.cumsum(lengths) - lengths
    predicted = np.maximum(lengths - (0 if closed else 1), 0)
    if closed:
        predicted[lengths == 0] = 0
    counts = -(-predicted // seq_length)
    documents = np.repeat(np.arange(len(lengths)), counts)
    firsts = np.cumsum(counts) - counts
    offsets = (np.arange(len(documents)) - firsts[documents]) * seq_length
    sizes = np.minimum(predicted[documents] - offsets, seq_length) + 1
    return Pieces(begins[documents] + offsets, sizes.astype(np.int32))


@dataclass(frozen=True)
class Packing:
    """Pieces by window. Memory: 12 bytes per piece and 12 per window."""

    pieces: Pieces
    """Window by window, inside a window in the order of the stream."""
    firsts: Numbers
    """[windows + 1] first piece of each window, and the number of pieces."""

    @property
    def num_windows(self) -> int:
        """Windows, each with at least one piece."""
        return len(self.firsts) - 1

    @cached_property
    def predicted(self) -> NDArray[np.int32]:
        """[windows] predicted tokens."""
        if not self.num_windows:
            return np.empty(0, np.int32)
        counts: NDArray[np.int32] = np.add.reduceat(self.pieces.sizes - 1, self.firsts[:-1], dtype=np.int32)
        return counts

    def starts(self, window: int) -> Numbers:
        """First tokens of the pieces of a window."""
        return self.pieces.starts[self.firsts[window] : self.firsts[window + 1]]

    def sizes(self, window: int) -> NDArray[np.int32]:
        """Tokens of the pieces of a window."""
        return self.pieces.sizes[self.firsts[window] : self.firsts[window + 1]]


def pack(pieces: Pieces, capacity: int) -> Packing:
    """Put pieces of 1 to `capacity` tokens into windows of so many."""
    by_size = np.argsort(-pieces.sizes, kind="stable")
    windows = np.empty(len(by_size), np.int64)
    windows[by_size] = _best_fit(*np.unique(pieces.sizes, return_counts=True), capacity)
    order = np.argsort(windows, kind="stable")
    counts = np.bincount(windows)
    return Packing(
        Pieces(pieces.starts[order], pieces.sizes[order]), np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    )


def _best_fit(sizes: NDArray[np.int32], counts: Numbers, capacity: int) -> Numbers:
    """Window of each piece, the longest pieces first; `counts` pieces of each of the `sizes`, which ascend."""
    rooms: dict[int, list[Numbers]] = {}  # room -> windows that have so much
    known: list[int] = []  # the rooms, ascending
    placed: list[Numbers] = []
    opened = 0

    def leave(room: int, windows: Numbers) -> None:
        if room and len(windows):
            if room not in rooms:
                rooms[room] = []
                insort(known, room)
            rooms[room].append(windows)

    for size, count in zip(sizes[::-1].tolist(), counts[::-1].tolist(), strict=True):
        left = count
        while left:
            place = bisect_left(known, size)
            if place < len(known):
                room = known.pop(place)
                windows = np.concatenate(rooms.pop(room))
            else:
                room, number = capacity, -(-left // (capacity // size))
                windows = np.arange(opened, opened + number)
                opened += number
            # The fullest window stays the fullest until nothing more of this size fits into it.
            each = room // size
            full, rest = min(len(windows), left // each), 0
            placed.append(np.repeat(windows[:full], each))
            left -= full * each
            if full < len(windows) and left:
                rest = left
                placed.append(np.repeat(windows[full : full + 1], rest))
                leave(room - rest * size, windows[full : full + 1])
                left = 0
            leave(room - each * size, windows[:full])
            leave(room, windows[full + bool(rest) :])
    return np.concatenate(placed) if placed else np.empty(0, np.int64)
