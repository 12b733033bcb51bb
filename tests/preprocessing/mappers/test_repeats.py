from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.repeats import RepeatsMapper


def mapped(text: str, **fields: object) -> str:
    return RepeatsMapper(**fields).map(document(text), Counter())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("すごーーーーーい！！！！！！ｗｗｗｗｗ", "すごーーーい！！！ｗｗｗ"),
        ("草草草草草 まじか……………。。。。", "草草草 まじか………。。。"),
        ("www.example.com は wwwwwwww", "www.example.com は www"),
        ("円周率の小数点以下100000000000000000", "円周率の小数点以下100000000000000000"),
        ("１１１１１１１１１１１１１１", "１１１１１１１１１１１１１１"),
        (
            "-" * 40 + "\n" + "あ" + " " * 20 + "い" + "\n" * 20 + "う",
            "-" * 10 + "\nあ" + " " * 20 + "い" + "\n" * 20 + "う",
        ),
        ("コーヒーとケーキ、ええ、おおきい。", "コーヒーとケーキ、ええ、おおきい。"),
        ("", ""),
    ],
)
def test_runs_are_cut(text, expected):
    assert mapped(text) == expected


def test_settings_and_tally():
    assert mapped("ああああ！！！！ーーーー", expressive_characters="！", expressive=1, maximum=2) == "ああ！ーー"
    assert mapped("ああああ", expressive_characters="", maximum=1) == "あ"
    assert RepeatsMapper(expressive_characters="w1").problems()
    assert not RepeatsMapper().problems()
    tally: Counter[str] = Counter()
    RepeatsMapper().map(document("ーーーーー草草草草"), tally)
    assert tally == {"runs": 2, "characters": 3}


@given(st.text(st.sampled_from("あーw=1 \n"), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_against_a_loop(text, expressive, maximum):
    expected = ""
    for character, group in groupby(text):
        length = len(list(group))
        if not character.isdigit() and not character.isspace():
            length = min(length, expressive if character in "あーw" else maximum)
        expected += character * length
    assert mapped(text, expressive=expressive, maximum=maximum, expressive_characters="あーw") == expected
