"""Which window of which source is sample i: a pure function of (sizes, weights, seed, i), for any i >= 0.

Sizes are windows per source. Nothing is stored per sample, and every array below has one entry per source.
"""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jp_llm.data.order import Permutation
from jp_llm.runtime.errors import config_error

BLOCK_SAMPLES = 2**16
"""Weights hold exactly in every aligned block of this many samples, and have this resolution."""

Indices = NDArray[np.int64]


class Blend(Protocol):
    """Maps global sample indices to windows."""

    def locate(self, samples: Indices) -> tuple[Indices, Indices]:
        """[n] global sample indices -> ([n] number of the source, [n] window in the source)."""
        ...

    def epochs(self, num_samples: float) -> list[float]:
        """Passes over each source in the first `num_samples` samples, on average."""
        ...


class WholeDataset:
    """All windows of all sources, each exactly once per epoch, in another order every epoch."""

    def __init__(self, sizes: Mapping[str, int], seed: int) -> None:
        self._starts = _starts(sizes.values())
        self._total = int(self._starts[-1])
        self._order = Permutation(self._total, seed, "dataset")

    def locate(self, samples: Indices) -> tuple[Indices, Indices]:
        """See `Blend`."""
        epochs, positions = np.divmod(samples, self._total)
        windows = self._order(positions, epochs)
        sources = np.searchsorted(self._starts, windows, side="right") - 1
        return sources, windows - self._starts[sources]

    def epochs(self, num_samples: float) -> list[float]:
        """See `Blend`."""
        return [num_samples / self._total] * (len(self._starts) - 1)


class WeightedSources:
    """A fixed share of each source in every block; each source goes through epochs of its own.

    A block is as long as the sum of the counts. A permutation deals its places out, `counts[s]` of them to source s;
    the place of rank r among those of s, in block b, is sample b * counts[s] + r of that source. So the samples of a
    source are numbered without gaps, and its own permutation, one per epoch, turns the number into a window.

    Args:
        sizes: windows of each source.
        counts: samples of each source in a block (`apportion`).
        seed: of the order.
    """

    def __init__(self, sizes: Mapping[str, int], counts: Mapping[str, int], seed: int) -> None:
        self._counts = np.array([counts[name] for name in sizes], np.int64)
        self._starts = _starts(counts[name] for name in sizes)
        self._sizes = np.array(list(sizes.values()), np.int64)
        self._blocks = Permutation(int(self._starts[-1]), seed, "blend")
        self._orders = [Permutation(size, seed, f"source {name}") for name, size in sizes.items()]

    def locate(self, samples: Indices) -> tuple[Indices, Indices]:
        """See `Blend`."""
        blocks, places = np.divmod(samples, self._starts[-1])
        dealt = self._blocks(places, blocks)
        sources = np.searchsorted(self._starts, dealt, side="right") - 1
        numbers = blocks * self._counts[sources] + dealt - self._starts[sources]
        epochs, positions = np.divmod(numbers, self._sizes[sources])
        windows = np.empty_like(samples)
        for source in np.unique(sources):
            chosen = sources == source
            windows[chosen] = self._orders[source](positions[chosen], epochs[chosen])
        return sources, windows

    def epochs(self, num_samples: float) -> list[float]:
        """See `Blend`."""
        return [float(epochs) for epochs in num_samples * self._counts / self._starts[-1] / self._sizes]


def apportion(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Divide `total` by weights, in integers, by largest remainder (Hamilton's method); ties go to the first.

    Raises:
        UserError: no weights, one that is not above 0, or one so small that its source would get nothing.
    """
    wrong = [name for name, weight in weights.items() if not 0 < weight < math.inf]
    if wrong or not weights:
        problems = [f"data.weights.{name}: {weights[name]} must be a number above 0" for name in wrong]
        raise config_error(problems or ["data.weights: names no source; null takes the whole dataset"])
    exact = {name: Fraction(weight) for name, weight in weights.items()}
    shares = {name: total * weight / sum(exact.values()) for name, weight in exact.items()}
    counts = {name: math.floor(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - shares[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    if problems := [
        f"data.weights.{name}: {weights[name]} gives less than one of {total:,} samples, so nothing of it would be "
        "read; raise it or leave the source out"
        for name, count in counts.items()
        if count == 0
    ]:
        raise config_error(problems)
    return counts


def _starts(sizes: Iterable[int]) -> Indices:
    """[sources + 1] first number of each source when all are laid one after the other, and the total."""
    return np.cumsum([0, *sizes], dtype=np.int64)
