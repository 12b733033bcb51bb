"""What counts as repetition, and when it is said."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.config.guard import GuardConfig
from jp_llm.guard.guard import Guard
from jp_llm.train.degenerate import Degeneration, Repetition

IDS = st.lists(st.integers(0, 5), max_size=80)


def slow_repeats(ids: list[int]) -> int:
    """Every piece of at most 13 tokens at every place, counted."""
    best = 0
    for start in range(len(ids)):
        for period in range(1, min(13, len(ids) - start) + 1):
            piece, count = ids[start : start + period], 0
            while ids[start + count * period : start + (count + 1) * period] == piece:
                count += 1
            best = max(best, count)
    return best


@given(IDS)
def test_repeats_are_those_of_a_plain_count(ids: list[int]) -> None:
    assert Repetition.of(ids).repeats == slow_repeats(ids)


@given(IDS)
def test_the_share_lies_between_its_bounds(ids: list[int]) -> None:
    found = Repetition.of(ids)
    assert 0 <= found.repeated_4grams < 1
    assert found.length == len(ids)


def test_known_shares() -> None:
    assert Repetition.of(list(range(64))).repeated_4grams == 0
    assert Repetition.of([1] * 64).repeated_4grams == pytest.approx(60 / 61)
    assert Repetition.of([1, 2, 3, 4, 1, 2, 3, 4]).repeated_4grams == pytest.approx(1 / 5)
    assert Repetition.of([]).repeated_4grams == 0


@pytest.mark.parametrize(
    ("ids", "degenerate"),
    [
        ([7] * 64, True),
        ([1, 2, 3, 4, 5] * 12, True),
        (list(range(30)) + [7] * 34, True),
        (list(range(33)) + [7] * 31, False),
        ([1, 2] * 7, False),  # short
        (random.Random(0).choices(range(3000), k=64), False),
        ([], False),
    ],
)
def test_more_repetition_than_text_is_degenerate(ids: list[int], degenerate: bool) -> None:
    assert Repetition.of(ids).degenerate is degenerate


GOOD, BAD = Repetition.of(list(range(64))), Repetition.of([1] * 64)


def warnings(seen: list[list[Repetition]], first_step: int = 500) -> list[bool]:
    watch = Degeneration(1000, Guard(GuardConfig()))
    return [watch.look(first_step + index, found)[1] for index, found in enumerate(seen)]


def test_it_is_said_when_most_samples_repeat_themselves_twice_in_a_row() -> None:
    assert warnings([[BAD, BAD, GOOD], [BAD, BAD, GOOD]]) == [False, True]
    assert warnings([[BAD], [GOOD], [BAD], [BAD], [BAD]]) == [False, False, False, True, True]
    assert warnings([[BAD, GOOD]] * 3) == [False] * 3


def test_what_was_found_last_is_in_the_checkpoint() -> None:
    guard, resumed = Guard(GuardConfig()), Guard(GuardConfig())
    assert not Degeneration(1000, guard).look(500, [BAD])[1]
    resumed.restore(json.loads(json.dumps(guard.state())))
    assert Degeneration(1000, resumed).look(600, [BAD])[1]
    resumed.restore({})
    assert not Degeneration(1000, resumed).look(700, [BAD])[1]


def test_a_model_that_has_hardly_begun_is_not_blamed() -> None:
    assert warnings([[BAD]] * 4, first_step=98) == [False, False, False, False]
    assert warnings([[BAD]] * 5, first_step=98) == [False, False, False, False, True]


def test_what_is_recorded() -> None:
    record, _ = Degeneration(1000, Guard(GuardConfig())).look(500, [GOOD, BAD])
    assert record == {
        "kind": "repetition",
        "step": 500,
        "repeated_4grams": pytest.approx(30 / 61),
        "repeats": 64,
        "degenerate_samples": 0.5,
    }
