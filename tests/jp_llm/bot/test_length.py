"""Lengths against X's published examples and against the Python port of X's own library."""

import sys
import types
import unicodedata
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jp_llm.bot.length import invalid_character, weight


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a" * 280, 280),
        ("あ" * 140, 280),
        ("吾輩は猫である。", 16),
        ("é", 1),
        ("か\u3099", 2),
        ("ﾊﾝｶｸ", 8),
        ("“quoted”…", 10),
        ("👍", 2),
        ("👍🏽", 2),
        ("👨‍👩‍👧‍👦", 2),
        ("🇯🇵🇯🇵", 4),
        ("1️⃣", 2),
        ("☺️", 2),
        ("english text 日本語 😷 https://example.com", 46),
        ("https://example.com/" + "a" * 200, 23),
        ("日本語example.comです", 33),
        ("https://example.com/を見て", 29),
        ("「https://example.com/a?b=c」。", 29),
        ("example.みんなで", 25),
        ("https://example.com#neko", 28),
        ("一\r\n二", 5),
    ],
)
def test_lengths_as_x_counts_them(text: str, expected: int) -> None:
    assert weight(text) == expected


def test_characters_that_x_refuses() -> None:
    assert invalid_character("猫\ufeff") == "U+FEFF"
    assert invalid_character("猫\ud83d") == "U+D83D"
    assert invalid_character("猫👍") is None


@pytest.fixture(scope="module")
def reference() -> types.ModuleType:
    """The port; it reads its table of emoji through pkg_resources, which setuptools no longer brings."""
    stand_in = types.ModuleType("pkg_resources")
    stand_in.resource_string = lambda package, name: files(package.rpartition(".")[0]).joinpath(name).read_bytes()
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "pkg_resources", stand_in)
        return pytest.importorskip("twitter_text")


WORDS = st.sampled_from(
    ["猫", "ｶﾞ", "が", "Ａ", "ab", " ", "\n", "。", "…", "—", "“", "é", "〜", "①", "𠮟", "ㄅ", "한", "\u2028"]
) | st.sampled_from(["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇯🇵", "1️⃣", "☺️", " http://example.com/path?x=1 ", " https://t.co/abc "])


@example("https://example.com/a 猫")
@given(st.lists(WORDS, max_size=12).map("".join))
def test_lengths_as_the_library_counts_them(reference: types.ModuleType, text: str) -> None:
    assert weight(text) == reference.parse_tweet(text).weightedLength


@example("abhttps://t.co/abc ")
@example("https://日本語.jp/")
@example("見て http://あ.jp、http://い.jp ね")
@example("1.世界")
@example("é.jp")
@example("a.рф/b")
@example("example.museum#bbbbbbbbbbbbbbb")
@example("https://example.com/aaaaaaaaaaaaaaaaaaaaaaaaaa(b)を")
@given(st.text(st.characters(blacklist_categories=["Cs", "Cn", "Co"]), max_size=20))
def test_no_length_is_less_than_that_of_the_library(reference: types.ModuleType, text: str) -> None:
    ours, theirs = weight(text), reference.parse_tweet(text).weightedLength
    assert ours >= theirs or "\u200d" in unicodedata.normalize("NFC", text)
