from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.text.characters import codes_of
from preprocessing.text.ngrams import (
    duplicated,
    frequencies,
    frequent,
    has_run,
    highest_frequency,
    ngram_hashes,
    top_share,
)

REPETITIVE = st.text(alphabet="あいう\n漢", max_size=80)


def counted(text: str, size: int) -> list[int]:
    return sorted(Counter(text[start : start + size] for start in range(len(text) - size + 1)).values())


@given(REPETITIVE, st.integers(1, 10))
def test_hashes_are_equal_where_ngrams_are(text, size):
    hashes = ngram_hashes(codes_of(text), size)
    assert len(hashes) == max(len(text) - size + 1, 0)
    grams = [text[start : start + size] for start in range(len(hashes))]
    assert len(set(zip(grams, hashes.tolist(), strict=True))) == len(set(grams)) == len(set(hashes.tolist()))


@given(REPETITIVE, st.integers(1, 10))
def test_frequencies(text, size):
    found = frequencies(ngram_hashes(codes_of(text), size))
    assert sorted(found.tolist()) == counted(text, size)
    assert highest_frequency(ngram_hashes(codes_of(text), size)) == max(counted(text, size), default=0)


@given(REPETITIVE, st.dictionaries(st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0])))
def test_frequent_is_the_first_size_over_its_limit(text, limits):
    over = [
        size
        for size, limit in sorted(limits.items())
        if counted(text, size) and max(counted(text, size)) / sum(counted(text, size)) > limit
    ]
    assert frequent(codes_of(text), limits) == (over[0] if over else None)


@given(
    REPETITIVE,
    st.dictionaries(st.integers(2, 10), st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0])),
    st.booleans(),
)
def test_duplicated_is_the_first_size_over_its_limit(text, limits, occurrences):
    over = []
    for size, limit in sorted(limits.items()):
        counts = counted(text, size)
        several = [number for number in counts if number > 1]
        share = sum(several) / max(sum(counts), 1) if occurrences else len(several) / max(len(counts), 1)
        over += [size] if share > limit else []
    assert duplicated(codes_of(text), limits, occurrences=occurrences) == (over[0] if over else None)


def test_limits_are_reached_without_being_passed():
    text = "ああいうえおかきく"
    # Of 9 characters 2 are あ, of 8 bigrams each stands once.
    assert frequent(codes_of(text), {1: 2 / 9}) is None
    assert frequent(codes_of(text), {1: 0.2}) == 1
    assert frequent(codes_of(text), {2: 1 / 8}) is None
    # abcabc: of the bigrams ab, bc, ca two stand twice.
    assert duplicated(codes_of("abcabc"), {2: 2 / 3}) is None
    assert duplicated(codes_of("abcabc"), {2: 0.66}) == 2
    assert duplicated(codes_of("abcabc"), {2: 0.8}, occurrences=True) is None
    assert duplicated(codes_of("abcabc"), {2: 0.79}, occurrences=True) == 2


@given(REPETITIVE, st.integers(1, 5))
def test_top_share_as_defined(text, size):
    counts = counted(text, size)[::-1]
    number = min(int(len(counts) ** 0.5), sum(count > 1 for count in counts))
    expected = sum(counts[:number]) / sum(counts) if counts else 0.0
    assert top_share(codes_of(text), size) == pytest.approx(expected)


@given(st.lists(st.tuples(st.sampled_from("あい"), st.integers(1, 60)), max_size=8), st.integers(1, 70))
def test_runs(pieces, length):
    text = "".join(letter * number for letter, number in pieces)
    assert has_run(codes_of(text), length) == ("あ" * length in text or "い" * length in text)


def test_a_hash_is_more_than_32_bits():
    assert ngram_hashes(np.arange(1000, dtype=np.uint32), 5).max() > 1 << 32
