from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.data.blend import BLOCK_SAMPLES, WeightedSources, WholeDataset, apportion
from jp_llm.runtime.errors import ExitCode, UserError

Sizes = st.lists(st.integers(1, 40), min_size=1, max_size=5).map(
    lambda sizes: {f"s{i}": n for i, n in enumerate(sizes)}
)


def pairs(blend: WholeDataset | WeightedSources, start: int, stop: int) -> list[tuple[int, int]]:
    sources, windows = blend.locate(np.arange(start, stop))
    return list(zip(sources.tolist(), windows.tolist(), strict=True))


@settings(deadline=None)
@given(sizes=Sizes, seed=st.integers(0, 2**32), epoch=st.integers(0, 10**6))
def test_whole_dataset_gives_every_window_once_per_epoch(sizes: dict[str, int], seed: int, epoch: int) -> None:
    total = sum(sizes.values())
    found = pairs(WholeDataset(sizes, seed), epoch * total, (epoch + 1) * total)
    assert sorted(found) == [(source, window) for source, n in enumerate(sizes.values()) for window in range(n)]


def test_whole_dataset_is_mixed_anew_every_epoch() -> None:
    blend = WholeDataset({"a": 60, "b": 40}, seed=3)
    epochs = [pairs(blend, 100 * epoch, 100 * epoch + 100) for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert epochs[0] != pairs(WholeDataset({"a": 60, "b": 40}, seed=4), 0, 100)
    # Both sources come in every part of the epoch.
    assert all(20 < sum(source == 0 for source, _ in epochs[0][start : start + 50]) < 40 for start in (0, 50))


@settings(deadline=None, max_examples=40)
@given(sizes=Sizes, seed=st.integers(0, 2**32), block=st.integers(0, 10**6), data=st.data())
def test_shares_are_exact_in_every_block(sizes: dict[str, int], seed: int, block: int, data: st.DataObject) -> None:
    counts = {name: data.draw(st.integers(1, 30)) for name in sizes}
    length = sum(counts.values())
    sources, _ = WeightedSources(sizes, counts, seed).locate(np.arange(block * length, (block + 1) * length))
    assert Counter(sources.tolist()) == Counter(dict(enumerate(counts.values())))


@settings(deadline=None, max_examples=40)
@given(sizes=Sizes, seed=st.integers(0, 2**32), data=st.data())
def test_every_source_has_epochs_of_its_own(sizes: dict[str, int], seed: int, data: st.DataObject) -> None:
    # Blocks of lcm-free lengths, so that epochs end inside them: over whole blocks no window is ahead of another by
    # more than one, and after n_s blocks each was read exactly counts[s] times.
    counts = {name: data.draw(st.integers(1, 30)) for name in sizes}
    blend, length = WeightedSources(sizes, counts, seed), sum(counts.values())
    for source, (name, size) in enumerate(sizes.items()):
        read = Counter(window for other, window in pairs(blend, 0, size * length) if other == source)
        assert read == Counter({window: counts[name] for window in range(size)})
        blocks = data.draw(st.integers(1, size))
        read = Counter(window for other, window in pairs(blend, 0, blocks * length) if other == source)
        times = [read[window] for window in range(size)]
        assert max(times) - min(times) <= 1


def test_blocks_differ() -> None:
    blend = WeightedSources({"a": 50, "b": 50}, {"a": 50, "b": 50}, seed=3)
    first, second = ([source for source, _ in pairs(blend, start, start + 100)] for start in (0, 100))
    assert first != second
    assert 15 < sum(first[:50]) < 35


def test_epochs_and_sources_have_orders_of_their_own() -> None:
    # A block reads half of either source, so every second block begins an epoch.
    blend = WeightedSources({"a": 20, "b": 20}, {"a": 10, "b": 10}, seed=3)
    halves = [
        frozenset(window for other, window in pairs(blend, 40 * epoch, 40 * epoch + 20) if other == source)
        for epoch in range(5)
        for source in (0, 1)
    ]
    assert len(set(halves)) == 10


def test_a_sample_does_not_depend_on_company() -> None:
    blend = WeightedSources({"a": 7, "b": 90}, apportion({"a": 1, "b": 2}, BLOCK_SAMPLES), seed=1)
    together = pairs(blend, BLOCK_SAMPLES - 20, BLOCK_SAMPLES + 20)
    assert together == [pairs(blend, i, i + 1)[0] for i in range(BLOCK_SAMPLES - 20, BLOCK_SAMPLES + 20)]


def test_epochs() -> None:
    assert WholeDataset({"a": 60, "b": 40}, 1).epochs(250) == [2.5, 2.5]
    assert WeightedSources({"a": 60, "b": 40}, {"a": 3, "b": 1}, 1).epochs(240) == [3.0, 1.5]


def test_apportion_by_largest_remainder() -> None:
    assert apportion({"a": 0.5, "b": 0.3, "c": 0.2}, 10) == {"a": 5, "b": 3, "c": 2}
    assert apportion({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    # Hamilton's own kind of case: quotas 4.16, 3.25, 2.59.
    assert apportion({"a": 416, "b": 325, "c": 259}, 10) == {"a": 4, "b": 3, "c": 3}


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=30))
def test_apportion_is_complete_and_within_one(weights: list[float]) -> None:
    named = {f"s{index}": weight for index, weight in enumerate(weights)}
    counts = apportion(named, 2**40)
    assert sum(counts.values()) == 2**40
    for name, weight in named.items():
        assert abs(counts[name] - weight / sum(weights) * 2**40) < 1.01


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"web": 1.0, "tiny": 1e-6}, r"data\.weights\.tiny: 1e-06 gives less than one of 65,536 samples"),
        ({"web": 1.0, "none": 0.0}, r"data\.weights\.none: 0\.0 must be a number above 0"),
        ({"web": float("nan")}, r"data\.weights\.web: nan must be a number above 0"),
        ({"web": float("inf")}, r"data\.weights\.web: inf must be a number above 0"),
        ({}, r"data\.weights: names no source"),
    ],
)
def test_weights_that_lose_a_source_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        apportion(weights, BLOCK_SAMPLES)
    assert caught.value.code == ExitCode.CONFIG_REFUSED
