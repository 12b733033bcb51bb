import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing.text.keys import exact_keys, near_key, near_keys, segment_hashes

VARIATION_SELECTORS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def slow_exact(text, mask_digits=False):
    """The definition, character by character."""
    kept = [
        character
        for character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp", "Zs")
        and ord(character) not in VARIATION_SELECTORS
    ]
    digits = ["0" if mask_digits and unicodedata.category(character) == "Nd" else character for character in kept]
    return "".join(digits)


def slow_near(text, mask_digits=False):
    return folded(slow_exact(text, mask_digits))


def folded(exact):
    kept = [character for character in exact if unicodedata.category(character)[0] not in "PS"]
    return "".join(character.lower() if len(character.lower()) == 1 else character for character in kept)


def strings(keys):
    return [keys[index].tobytes().decode("utf-32-le", "surrogatepass") for index in range(len(keys))]


# Characters that NFKC joins, splits, reorders, or that a key removes, besides ordinary ones.
ODD = (
    "かがはぱうヴ゛゜\u3099\u309aﾞﾟｶﾊ①㌢㍻㈱℡½…‥～〜ＡａＺｚİßΣς０9٣Ⅳ\u200b\u200d\ufe0f\U000e0100 \u3000\t\n\r\x00"
    "각가\u1100\u1161\u11a8\u0301\u0323e\u0327ﬁ、。「」！!?？・ー々神\ufa19\ufdfa\U0001f600\U0001d400"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8")), max_size=20)


@given(st.lists(TEXTS, max_size=5), st.booleans())
@example(["e\u0323\u0301", "e\u0301\u0323"], False)
@example(["か", "\u3099", "ｶﾞ"], False)
@example(["\u1100\u1161", "\u11a8"], True)
def test_keys_are_those_of_the_definition(texts, mask):
    assert strings(exact_keys(texts, mask_digits=mask)) == [slow_exact(text, mask) for text in texts]
    assert strings(near_keys(texts, mask_digits=mask)) == [slow_near(text, mask) for text in texts]


def test_every_character_by_itself():
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    expected = [slow_exact(character) for character in characters]
    for keys in (exact_keys(characters), near_keys(characters)):
        assert keys.codes.tobytes().decode("utf-32-le") == "".join(expected)
        assert keys.lengths.tolist() == [len(text) for text in expected]
        expected = [folded(text) for text in expected]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("「Ｊａｐａｎ」は、ﾆﾎﾝ。", "japanはニホン"),
        ("がんばって パン を\n食べた!", "がんばってパンを食べた"),
        ("か\u3099", "が"),
        ("㈱ＡＢＣ ①", "株abc1"),
        ("葛\U000e0100城市", "葛城市"),
    ],
)
def test_near_keys_keep_dakuten_and_forget_looks(text, key):
    assert near_key(text) == key


def test_hashes_of_equal_keys_are_equal_wherever_they_stand():
    hashes = segment_hashes(exact_keys(["会社概要", "あ", "会社 概要", "", "概要会社", " 会社概要\n"]))
    assert hashes[0] == hashes[2] == hashes[5]
    assert hashes[3] == 0
    assert len(set(hashes.tolist())) == 4


def test_hashes_depend_on_every_bit():
    texts = [chr(0x3041 + number % 80) * (number // 80 + 1) for number in range(8000)]
    hashes = segment_hashes(exact_keys(texts))
    assert len(np.unique(hashes)) == len(texts)
    bits = np.unpackbits(hashes.view(np.uint8)).reshape(len(texts), 64).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 0.03
