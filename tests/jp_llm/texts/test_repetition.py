"""What counts as repetition, against plain counting and known values."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.texts.repetition import Repetition, distinct_ngrams, repeated_ngrams

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


def test_shares_of_ngrams_by_hand() -> None:
    assert repeated_ngrams("あいあい", 2) == pytest.approx(1 / 3)
    assert repeated_ngrams("あ", 2) == 0
    # あい, いあ, あい of the first text and いう of the second: three different ones of four.
    assert distinct_ngrams(["あいあい", "いう"], 2) == pytest.approx(3 / 4)
    assert distinct_ngrams(["あ", "い"], 2) is None


@given(st.lists(IDS, max_size=4), st.integers(1, 3))
def test_no_ngram_reaches_over_the_end_of_a_text(texts: list[list[int]], n: int) -> None:
    grams = [tuple(text[start : start + n]) for text in texts for start in range(max(0, len(text) - n + 1))]
    assert distinct_ngrams(texts, n) == (len(set(grams)) / len(grams) if grams else None)
