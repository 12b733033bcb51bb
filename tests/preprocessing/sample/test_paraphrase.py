"""Other ways to put a phrase."""

import pytest

from preprocessing.sample.paraphrase import split


def test_phrases_become_choices():
    assert split("最後に、川沿いを歩く。", last=False) == [
        "最後に、",
        ("川沿い", "川べり", "川端"),
        "を歩く。",
    ] or split("最後に、川沿いを歩く。", last=False)[0] == ("最後に", "終わりに", "おしまいに")


def test_every_way_of_a_line_is_found():
    ways = ("川沿い", "川べり", "川端")
    for way in ways:
        assert split(f"{way}の道。", last=False) == [ways, "の道。"]


def test_only_the_first_way_is_found_where_the_others_are_common_words():
    assert split("雨は降る。", last=False) == ["雨は降る。"]
    assert split("雨は、降る。", last=False) == ["雨", ("は、", "は"), "降る。"]


@pytest.mark.parametrize(("text", "last", "parts"), [("町へ行くため、走り", True, 1), ("町へ行くため、走り", False, 3)])
def test_the_end_that_may_be_inflected_is_left_alone(text, last, parts):
    assert len(split(text, last=last)) == parts
