from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.kutoten import KutotenMapper


def mapped(text: str, published: bool = False) -> str:
    return KutotenMapper(published=published).map(document(text), Counter())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今日は，晴れた．明日も，晴れる．", "今日は、晴れた。明日も、晴れる。"),
        ("今日は、晴れた。明日は，雨。", "今日は、晴れた。明日は，雨。"),  # one each: no majority
        ("これは，コンマだけ，西洋風。", "これは、コンマだけ、西洋風。"),  # the two styles apart
        ("円周率は３．１４，約３だ．そう，書く．", "円周率は３．１４，約３だ。そう、書く。"),
        ("「はい」，と言った．（笑），そう．", "「はい」、と言った。（笑）、そう。"),
        ("コーヒー，々，〇，ヶ，", "コーヒー、々、〇、ヶ、"),
        ("abc，def，ghi，", "abc，def，ghi，"),  # none after a Japanese letter: not counted
        ("", ""),
    ],
)
def test_both_ways_agree(text, expected):
    assert mapped(text) == mapped(text, published=True) == expected


@pytest.mark.parametrize(
    ("text", "published", "ours"),
    [
        ("点は3，4と，5だ，", "点は3、4と、5だ、", "点は3，4と、5だ、"),
        ("まあ，a，bと，", "まあ、a、bと、", "まあ、a，bと、"),
        ("そう．．．だ．ね．", "そう。。。だ。ね。", "そう．．．だ。ね。"),
        ("，だが，そう，", "，だが、そう、", "，だが、そう、"),
    ],
)
def test_where_ours_is_more_careful(text, published, ours):
    assert mapped(text, published=True) == published
    assert mapped(text) == ours


def test_a_run_counts_once():
    # Three full stops in one run after a letter against two 。
    assert mapped("え．．．。そうだ。はい。", published=True) == "え．．．。そうだ。はい。"


def test_replaced_marks_are_tallied():
    tally: Counter[str] = Counter()
    KutotenMapper().map(document("あ，い，う．"), tally)
    assert tally == {"commas": 2, "full_stops": 1}


@given(st.text(st.sampled_from("あ漢ア3Ａ，．、。」\n"), max_size=30), st.booleans())
def test_only_these_marks_change(text, published):
    result = mapped(text, published)
    assert len(result) == len(text)
    assert {pair for pair in zip(text, result, strict=True) if pair[0] != pair[1]} <= {("，", "、"), ("．", "。")}
