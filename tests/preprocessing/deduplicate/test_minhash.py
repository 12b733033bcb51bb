import random

import numpy as np
import pytest

from preprocessing.deduplicate.minhash import VERIFIED, MinHash, similarities
from preprocessing.text.keys import near_key, near_keys


def random_text(rng, length):
    return "".join(chr(rng.randint(0x4E00, 0x8FFF)) for _ in range(length))


def pair(rng, length, edits):
    """A text and a copy with some characters replaced, and their true similarity."""
    first = random_text(rng, length)
    second = list(first)
    for place in rng.sample(range(length), edits):
        second[place] = random_text(rng, 1)
    texts = first, "".join(second)
    one, two = ({text[place : place + 5] for place in range(length - 4)} for text in texts)
    return texts, len(one & two) / len(one | two)


def test_a_signature_is_the_minimum_over_all_ngrams():
    minhash = MinHash(5, 14, 8, seed=1)
    rng = random.Random(0)
    texts = [random_text(rng, length) for length in (5, 6, 400, 30, 9000, 5, 2048 + 4, 100)]
    keys = near_keys(texts)
    signatures = minhash.signatures(keys)
    assert signatures.shape == (len(texts), 112)
    for index in range(len(texts)):
        hashes = minhash._ngram_hashes(keys[index])
        assert len(hashes) == len(texts[index]) - 4
        expected = (minhash._factors[:, None].astype(np.uint64) * hashes % (1 << 32)).min(axis=1)
        assert signatures[index].tolist() == expected.tolist()
        # Alone or among others, a text has one signature.
        assert (minhash.signatures(near_keys([texts[index]])) == signatures[index]).all()


@pytest.mark.parametrize(("length", "edits"), [(40, 1), (100, 2), (400, 8), (400, 20), (2000, 40), (300, 60)])
def test_estimates_are_unbiased_and_as_sharp_as_they_should_be(length, edits):
    """Also of short texts: the mean error and its spread are those of independent permutations."""
    rng = random.Random(length + edits)
    pairs = [pair(rng, length, edits) for _ in range(400)]
    true = np.array([similarity for _, similarity in pairs])
    minhash = MinHash(5, 14, 8, seed=3)
    signatures = minhash.signatures(near_keys([text for texts, _ in pairs for text in texts]))
    exact = (signatures[::2] == signatures[1::2]).mean(axis=1)
    spread = np.sqrt((true * (1 - true) / 112).mean())
    assert abs((exact - true).mean()) < 4 * spread / np.sqrt(len(pairs))
    assert 0.85 * spread < np.sqrt(((exact - true) ** 2).mean()) < 1.15 * spread
    checks = minhash.checks(signatures)
    assert abs((similarities(checks[::2], checks[1::2]) - true).mean()) < 4 * spread / np.sqrt(len(pairs)) + 0.002


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (40, 20), (20, 10)])
def test_bands_agree_as_often_as_the_formula_says(bands, rows):
    """1 - (1 - s^rows)^bands, on short texts (120 characters) whose similarities lie around the midpoint."""
    rng = random.Random(bands)
    middle = (1 / bands) ** (1 / rows)
    pairs = []
    while len(pairs) < 600:
        texts, similarity = pair(rng, 120, rng.randint(1, 6))
        if abs(similarity - middle) < 0.12:
            pairs.append((texts, similarity))
    minhash = MinHash(5, bands, rows, seed=7)
    keys = minhash.band_keys(minhash.signatures(near_keys([text for texts, _ in pairs for text in texts])))
    together = (keys[:, ::2] == keys[:, 1::2]).any(axis=0)
    chances = np.array([1 - (1 - similarity**rows) ** bands for _, similarity in pairs])
    assert 0.15 < chances.mean() < 0.95
    assert abs(together.mean() - chances.mean()) < 4 * np.sqrt((chances * (1 - chances)).mean() / len(pairs))


def test_seeds_and_shapes():
    texts = ["".join(map(chr, range(0x3041, 0x3091)))]
    first, second = (MinHash(5, 14, 8, seed=seed).signatures(near_keys(texts)) for seed in (1, 2))
    assert (first != second).mean() > 0.95
    large = MinHash(3, 40, 20, seed=0)
    assert large.checks(large.signatures(near_keys(texts))).shape == (1, VERIFIED)
    nothing = large.signatures(near_keys([]))
    assert large.band_keys(nothing).shape == (40, 0)


def test_looks_do_not_count():
    minhash = MinHash(5, 14, 8, seed=1)
    one, two = "ＪＡＰＡＮの首都は、東京です。人口は多い", "japanの首都は東京です！ 人口は多い"
    assert near_key(one) == near_key(two)
    signatures = minhash.signatures(near_keys([one, two]))
    assert (signatures[0] == signatures[1]).all()
