import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jp_llm.data.order import Permutation

SMALL = [1, 2, 3, *(2**power + shift for power in range(2, 13, 2) for shift in (-1, 0, 1)), 37, 1000, 5003]
BIG = [10**9, 2**31 - 1, 2**32 + 1, 2**48, 2**48 + 1, 2**62]


def chi_square_excess(counts: NDArray[np.int64]) -> float:
    """How many standard deviations the chi-square statistic of uniform cells lies above its mean."""
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("size", SMALL)
def test_bijection(size: int) -> None:
    for cycle in range(3):
        assert sorted(Permutation(size, 1, "t")(np.arange(size), cycle)) == list(range(size))


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), cycle=st.integers(0, 2**40))
def test_bijection_at_any_key(size: int, seed: int, cycle: int) -> None:
    assert len(np.unique(Permutation(size, seed, "t")(np.arange(size), cycle))) == size


@pytest.mark.parametrize("size", BIG)
def test_big_sizes_stay_inside_and_apart(size: int) -> None:
    positions = np.concatenate([np.arange(5000), size - 1 - np.arange(5000), size // 2 + np.arange(5000)])
    values = Permutation(size, 1, "t")(positions, 2)
    assert values.min() >= 0
    assert values.max() < size
    assert len(np.unique(values)) == len(positions)
    # Uniform over the range: 50 cells.
    cells = np.bincount((values / size * 50).astype(np.int64), minlength=50)
    assert chi_square_excess(cells) < 4


def reference(size: int, seed: int, purpose: str, position: int, cycle: int) -> int:
    """The formula in plain integers of Python, one element at a time."""

    def mix(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
        return word ^ (word >> 31)

    words = hashlib.shake_128(json.dumps([seed, purpose]).encode()).digest(72)
    *keys, cycle_key = (int.from_bytes(words[start : start + 8], "little") for start in range(0, 72, 8))
    tweak = mix((cycle + cycle_key) % 2**64)
    height = math.isqrt(size - 1) + 1
    width = -(-size // height)
    u, v = divmod(position, width)
    while True:
        for first, second in zip(keys[::2], keys[1::2], strict=True):
            u = (u + (mix((v + (first ^ tweak)) % 2**64) >> 32) * height // 2**32) % height
            v = (v + (mix((u + (second ^ tweak)) % 2**64) >> 32) * width // 2**32) % width
        if u * width + v < size:
            return u * width + v


@settings(deadline=None)
@given(
    size=st.one_of(st.integers(1, 100), st.integers(1, 2**62)),
    seed=st.integers(0, 2**63),
    cycle=st.integers(0, 2**40),
    data=st.data(),
)
def test_equal_to_plain_integers(size: int, seed: int, cycle: int, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, size - 1))
    assert Permutation(size, seed, "t")([position], cycle).tolist() == [reference(size, seed, "t", position, cycle)]


def test_golden_order() -> None:
    # A change here is another order for every run: give `jp_llm.data.dataset.ORDER` another name.
    assert Permutation(10, 1234, "dataset")(np.arange(10), 0).tolist() == [5, 0, 9, 8, 1, 2, 6, 3, 4, 7]
    far = Permutation(10**12, 1234, "dataset")([0, 1, 10**12 - 1], 7)
    assert far.tolist() == [242143615177, 737246190256, 411484419757]


def test_elements_do_not_depend_on_company() -> None:
    permutation = Permutation(1000, 5, "t")
    positions, cycles = np.arange(1000) * 7 % 1000, np.arange(1000) % 4
    together = permutation(positions, cycles)
    alone = [int(permutation([position], cycle)[0]) for position, cycle in zip(positions, cycles, strict=True)]
    assert together.tolist() == alone


def test_seeds_purposes_and_cycles_differ() -> None:
    orders = [
        tuple(Permutation(500, seed, purpose)(np.arange(500), cycle).tolist())
        for seed in range(3)
        for purpose in ("dataset", "source a", "source b")
        for cycle in range(3)
    ]
    assert len(set(orders)) == 27
    # Unrelated permutations agree at one position on average.
    agreements = [np.sum(np.array(a) == np.array(b)) for a in orders for b in orders if a is not b]
    assert 0.8 < np.mean(agreements) < 1.2


@pytest.mark.parametrize("size", [10, 37, 300])
def test_small_permutations_are_fair(size: int) -> None:
    """Over many cycles: every element at every place, and every distance between neighbours, equally often."""
    cycles = np.arange(4000)
    table = np.stack([Permutation(size, 7, "t")(np.full(4000, place), cycles) for place in range(size)])
    assert chi_square_excess(np.stack([np.bincount(row, minlength=size) for row in table])) < 4
    distances = np.bincount(((table[1:] - table[:-1]) % size).ravel(), minlength=size)
    assert distances[0] == 0
    assert chi_square_excess(distances[1:]) < 4


def test_big_permutation_looks_random() -> None:
    size, count = 10**9, 200_000
    values = Permutation(size, 11, "t")(np.arange(count), 0)
    assert chi_square_excess(np.bincount(values * 1000 // size, minlength=1000)) < 4
    assert chi_square_excess(np.bincount(values % 997, minlength=997)) < 4
    assert chi_square_excess(np.bincount((np.diff(values) % size) * 1000 // size, minlength=1000)) < 4
    # Neighbours: both in cells of a 30 x 30 grid.
    pairs = values[:-1:2] * 30 // size * 30 + values[1::2] * 30 // size
    assert chi_square_excess(np.bincount(pairs, minlength=900)) < 4
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 4 / np.sqrt(count)


def test_refusals() -> None:
    for size in (0, -1, 2**62 + 1):
        with pytest.raises(ValueError, match="elements"):
            Permutation(size, 1, "t")
    for position in (10, -1):
        with pytest.raises(IndexError):
            Permutation(10, 1, "t")(np.array([position]), 0)
