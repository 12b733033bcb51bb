"""Short sequences of compared characters: those that find a place (seeds) and those that judge it.

Every seed of a text (8 characters) is looked up, while only every fourth of the training text is in the index. So a
common run of SEED + STRIDE - 1 = 11 characters always hits one, at a quarter of the size.
"""

import numpy as np
from numpy.typing import NDArray

from jp_llm.near_copies.characters import SEPARATOR, Units

SEED = 8
"""Characters of a seed: in 95 million characters of Japanese most seeds of a new text occur nowhere, and of a text with
every tenth character changed 43 % are untouched."""
STRIDE = 4
"""Places in the training text from one indexed seed to the next."""
GRAM = 4
"""Characters of the grams that judge: four code units are exactly one 64-bit number."""

_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: multiplicative hashing (Knuth, volume 3, section 6.4)


def seed_hashes(units: Units, stride: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashes of the seeds that begin at 0, stride, 2 stride, ..., and where they begin; those over a separator are
    left out. Equal seeds have equal hashes; the opposite must be checked."""
    count = max(0, (len(units) - SEED) // stride + 1)
    mixed = np.zeros(count, dtype=np.uint64)
    whole = np.ones(count, dtype=np.bool_)
    for offset in range(SEED):
        column = units[offset : offset + (count - 1) * stride + 1 : stride] if count else units[:0]
        mixed = (mixed + column) * np.uint64(_MULTIPLIER)
        mixed ^= mixed >> np.uint64(29)
        whole &= column != SEPARATOR
    places = np.flatnonzero(whole)
    return (mixed[places] >> np.uint64(32)).astype(np.uint32), places * stride


def distinct_grams(units: Units) -> NDArray[np.uint64]:
    """The distinct grams of a text, sorted, each packed into a number."""
    count = max(0, len(units) - GRAM + 1)
    packed = np.zeros(count, dtype=np.uint64)
    for offset in range(GRAM):
        packed = (packed << np.uint64(16)) | units[offset : offset + count].astype(np.uint64)
    return np.unique(packed)


def longest_true(matches: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Length, row and first column of the longest run of True in the rows of a matrix; the first of several."""
    rows, columns = matches.shape
    padded = np.zeros((rows, columns + 1), dtype=np.int8)
    padded[:, :columns] = matches
    edges = np.diff(padded.ravel(), prepend=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(starts):
        return 0, 0, 0
    best = int(np.argmax(ends - starts))
    row, column = divmod(int(starts[best]), columns + 1)
    return int(ends[best] - starts[best]), row, column
