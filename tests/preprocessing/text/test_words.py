import re

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.text.characters import codes_of
from preprocessing.text.folding import folded
from preprocessing.text.words import WordFinder, pairs_of


def find(text: str, *words: str, stand_alone: bool = True) -> list[str]:
    finder, found = WordFinder(words, stand_alone=stand_alone), folded(text, codes_of(text))
    return [hit.word for hit in finder.find(*found, pairs_of(found[1]))]


def test_the_longest_word_at_each_place_without_overlap():
    assert find("東京都庁へ行く東京駅", "東京", "東京都", "京都", "都庁") == ["東京都", "東京"]
    assert find("ああああ", "ああ") == ["ああ", "ああ"]
    assert find("死ぬ", "死") == ["死"]
    assert find("", "死", "ああ") == []
    assert find("あ", "ああ") == []


def test_katakana_and_latin_words_stand_alone():
    assert find("アスパラガスとアス", "アス") == ["アス"]
    assert find("アスパラガス", "アス", stand_alone=False) == ["アス"]
    assert find("アスー", "アス") == []
    assert find("リュックサック", "サック") == []
    assert find("ＥＳＳＥＸの sex、SEXと", "sex") == ["sex", "sex"]
    # A longer word that does not stand alone leaves room for a shorter one that may.
    assert find("アス語", "アス", "アス語") == ["アス語"]


def test_width_and_case_do_not_matter():
    assert find("ｱﾀﾞﾙﾄ と アダルト", "アダルト") == ["アダルト", "アダルト"]
    assert find("ａｂｃ", "ABC") == ["abc"]


def test_positions():
    text = "これは東京です"
    (hit,) = WordFinder(["東京"]).find(text, codes_of(text), pairs_of(codes_of(text)))
    assert (hit.start, hit.end, hit.word) == (3, 5, "東京")


@given(
    st.text(alphabet="あいうえ", max_size=60), st.sets(st.text(alphabet="あいうえ", min_size=1, max_size=4), max_size=8)
)
def test_as_a_regular_expression_finds_them(text, words):
    pattern = "|".join(sorted(words, key=lambda word: (-len(word), word)))
    assert find(text, *words) == (re.findall(pattern, text) if words else [])
