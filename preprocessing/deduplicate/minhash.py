"""MinHash signatures of characters n-grams, and the keys of their bands.

Broder, "On the resemblance and containment of documents", 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", section 3.4 for bands and rows. Every value of a signature is a true minimum over all n-grams of the text
(no one-permutation estimate), so short texts are estimated without bias.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.keys import Keys, mixed

VERIFIED = 128
"""Values of a signature that are kept, a byte each, to check candidates."""
_BLOCK = 1 << 11
"""N-grams that are hashed at once: with 112 functions 0.9 MB, which a second-level cache holds."""
_TOP = np.uint64(32)


@dataclass(frozen=True)
class MinHash:
    """`bands` x `rows` hash functions of n-grams of `ngram` characters."""

    ngram: int
    bands: int
    rows: int
    seed: int
    _factors: NDArray[np.uint32] = field(init=False, repr=False, compare=False)
    """Odd, of each hash function: [functions]."""
    _weights: NDArray[np.uint32] = field(init=False, repr=False, compare=False)
    """Odd, of each character of an n-gram: [ngram]."""

    def __post_init__(self) -> None:
        numbers = mixed(
            np.arange(self.bands * self.rows + self.ngram, dtype=np.uint64)
            + np.uint64(self.seed << 20 & 0xFFFFFFFFFFFFFFFF)
        )
        odd = (numbers >> _TOP).astype(np.uint32) | np.uint32(1)
        object.__setattr__(self, "_weights", odd[: self.ngram])
        object.__setattr__(self, "_factors", odd[self.ngram :])

    def signatures(self, keys: Keys) -> NDArray[np.uint32]:
        """Signatures of `keys`, each of at least `ngram` characters: uint32 [texts, bands * rows].

        The i-th function sends an n-gram's hash x to factor_i * x modulo 2^32; x and the factors are odd, so each
        function is a permutation of the odd numbers.
        """
        signatures = np.full((len(keys), len(self._factors)), 0xFFFFFFFF, dtype=np.uint32)
        hashes = self._ngram_hashes(keys.codes)
        starts, ends = keys.offsets[:-1], keys.offsets[1:] - (self.ngram - 1)
        if len(keys) > 1:
            # n-grams that reach into the next text are none
            hashes = hashes[_inside(starts, ends, len(hashes))]
        lengths = ends - starts
        stops = np.cumsum(lengths)
        starts = stops - lengths
        factors = self._factors[:, None]
        buffer = np.empty((len(self._factors), _BLOCK), dtype=np.uint32)
        for start in range(0, len(hashes), _BLOCK):
            block = hashes[start : start + _BLOCK]
            products = np.multiply(factors, block, out=buffer[:, : len(block)])
            first = np.searchsorted(stops, start, side="right")
            last = np.searchsorted(starts, start + len(block), side="left")
            begins = np.maximum(starts[first:last] - start, 0)
            least = np.minimum.reduceat(products, begins, axis=1).T
            np.minimum(signatures[first:last], least, out=signatures[first:last])
        return signatures

    def _ngram_hashes(self, codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Odd 32-bit hashes of all n-grams: multiplied characters added up, then mixed (Wellons' lowbias32)."""
        count = len(codes) - self.ngram + 1
        hashes: NDArray[np.uint32] = codes[:count] * self._weights[0]
        for place in range(1, self.ngram):
            hashes += codes[place : place + count] * self._weights[place]
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            hashes ^= hashes >> np.uint32(shift)
            hashes *= np.uint32(factor)
        hashes ^= hashes >> np.uint32(16)
        hashes |= np.uint32(1)
        return hashes

    def band_keys(self, signatures: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """Hash of the `rows` values of each band: uint64 [bands, texts]."""
        texts = len(signatures)
        values = signatures.reshape(texts, self.bands, self.rows)
        keys = np.zeros((self.bands, texts), dtype=np.uint64)
        for row in range(self.rows):
            keys ^= values[:, :, row].T
            mixed(keys)
        return keys

    def checks(self, signatures: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """A byte of each of the first `VERIFIED` values, for `similarities`: uint8 [texts, checks]."""
        return (signatures[:, :VERIFIED] * np.uint32(0x9E3779B1) >> np.uint32(24)).astype(np.uint8)


def similarities(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of the texts with these checks, row by row: float64 [texts].

    Bytes of different values agree by chance once in 256 times (Li, König, "b-bit minwise hashing", 2010).
    """
    agreeing: NDArray[np.float64] = np.count_nonzero(first == second, axis=1) / first.shape[1]
    ratios: NDArray[np.float64] = np.maximum((agreeing - 1 / 256) / (1 - 1 / 256), 0.0)
    return ratios


def _inside(starts: NDArray[np.int64], ends: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Truth of the places in one of the ranges [starts, ends)."""
    steps = np.zeros(size + 1, dtype=np.int8)
    steps[starts] += 1
    steps[ends] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
