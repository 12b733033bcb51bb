from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.whitespace import WhitespaceMapper


def mapped(text: str, **fields: object) -> str:
    return WhitespaceMapper(**fields).map(document(text), Counter())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一 \n二\u3000\n三 \t\u3000 \n四 ", "一\n二\n三\n四"),
        ("一\n\n\n\n二\n\n三", "一\n\n二\n\n三"),
        ("\n\n\u3000一段落目。\n\u3000二段落目。\n\n", "\u3000一段落目。\n\u3000二段落目。"),
        ("えっ？\u3000本当\u3000\u3000に", "えっ？ 本当 に"),
        ("五\u3000七\n\u3000\u3000五", "五 七\n\u3000\u3000五"),
        ("東京\u00a0と\u2003大阪\u202f間", "東京 と 大阪 間"),
        ("def f():\n    return 1\n", "def f():\n    return 1"),
        ("一\n \u3000\n\t\n二", "一\n\n二"),
        (" \n\u3000\n", ""),
        ("", ""),
    ],
)
def test_spaces_and_lines(text, expected):
    assert mapped(text) == expected


def test_choices():
    assert mapped("\u3000あ\u3000\u3000い", ideographic_space="keep") == "\u3000あ\u3000\u3000い"
    assert mapped("\u3000あ\u3000\u3000い", ideographic_space="space") == " あ  い"
    assert mapped("一\n\n\n二", max_blank_lines=0) == "一\n二"


@given(st.text(st.sampled_from("あa \u3000\t\n\u00a0"), max_size=40))
def test_a_second_pass_changes_nothing_and_letters_stay(text):
    once = mapped(text)
    assert mapped(once) == once
    assert "".join(once.split()) == "".join(text.split())
    assert all(line == line.rstrip() for line in once.split("\n"))


def test_a_megabyte_of_spaces_is_no_attack():
    # Quadratic time would run into the time limit.
    mapped("あ" + " " * 1_000_000 + "い\n" + "\u3000" * 1_000_000 + "う \n")
