from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.wiki_leftovers import WikiLeftoversMapper


def mapped(text: str, tally: Counter[str] | None = None) -> str:
    return WikiLeftoversMapper().map(document(text), Counter() if tally is None else tally)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京（とうきょう、）は", "東京（とうきょう）は"),
        ("東京（、1950年 - ）は", "東京（1950年 - ）は"),
        ("東京（；英: ）は", "東京は"),
        ("東京（英語：、独: ）は", "東京は"),
        ("東京（とうきょう、英: ）は", "東京（とうきょう）は"),
        ("東京（）は「」と『（、）』という", "東京は「」と『』という"),
        ("『川』（）とNHK（）とラジオ（；）", "『川』とNHKとラジオ"),
        ("一、、二、。", "一、二。"),
        ("甲（ 、 ）乙", "甲乙"),
    ],
)
def test_leftovers_go(text, expected):
    assert mapped(text) == expected
    assert mapped(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "（；´∀｀）と（・∀・）と（＾ω＾；）と(´・ω・｀)",
        "main()と[]と{}、f(x, )",
        "東京（とうきょう）は「首都」である。",
        "（１）はじめに",
        "午後：30分、英: Tokyo",
        "（」は対でない",
        "彼は「、」を打った",
        "関数f（）と（ ）に記入",
        "「・・・」と『：』と「、の打ち方」と「あ、」",
        "（/home）と（・歴史）と（地理・）と（a/）",
    ],
)
def test_good_brackets_stay(text):
    tally: Counter[str] = Counter()
    assert mapped(text, tally) == text
    assert not tally


def test_what_was_repaired_is_counted():
    tally: Counter[str] = Counter()
    mapped("甲（）乙（、丙）丁（戊、）己、、庚（英: ）", tally)
    assert tally == {"empty_brackets": 2, "leading_separators": 1, "trailing_separators": 1, "commas": 1, "label": 1}


@given(st.text(st.sampled_from("（）「」、；: 　英語漢あa\n"), max_size=40))
def test_it_only_takes_away(text):
    after = iter(text)
    assert all(character in after for character in mapped(text))


@pytest.mark.parametrize("unit", ["（", "）", "、", "（、", "、）", "（）", "英: ", "、 ", "（、）", "漢字"])
def test_hostile_repetition_takes_linear_time(unit):
    mapped(unit * (300_000 // len(unit)))
    mapped("（" * 100_000 + "）" * 100_000)
