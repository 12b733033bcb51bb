"""Words that survive shells."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.words import expanded, packed, refuse_mangled

HOSTILE = [
    "run_dir='runs/a b $HOME'",
    "note=$(touch marker)",
    "note=`touch marker`",
    "a=b;touch marker",
    "a=*",
    'a="b"',
    "a='b'",
    "a={x:[1,2]}",
    "a=b\\c",
    "a=%h%n%%",
    "a=昔々、(b) & c | d > e ~ #f !g",
    "a=b\nc",
    "",
]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_packed_words_come_out_as_they_went_in(words: list[str]) -> None:
    word = packed(words)
    assert re.fullmatch(r"@@[A-Za-z0-9_-]+", word)
    assert expanded(["a=1", word, "b=2"]) == ["a=1", *words, "b=2"]


def test_two_shells_change_nothing_of_a_packed_word(tmp_path: Path) -> None:
    word = packed(HOSTILE)
    for shell in ("sh", "bash"):
        inner = f"{shell} -c 'printf %s {word}'"
        printed = subprocess.run([shell, "-c", inner], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert expanded([printed]) == HOSTILE
    assert not list(tmp_path.iterdir())


def test_a_file_of_words(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# the first run\nmodel/size=nano\n\n  run_dir='runs/a $HOME'  \ntrain.sample_prompts=[昔々、]\n")
    assert expanded([f"@{path}", "seed=3"]) == [
        "model/size=nano",
        "run_dir='runs/a $HOME'",
        "train.sample_prompts=[昔々、]",
        "seed=3",
    ]


@pytest.mark.parametrize("word", ["@missing.txt", "@", "@@", "@@!!", "@@e30", packed(["a"])[:-3], "@@WzFd"])
def test_damaged_words_are_refused(word: str) -> None:
    with pytest.raises(UserError):
        expanded([word])


def test_words_of_other_launchers_are_taken_as_they_are() -> None:
    refuse_mangled(["a=$HOME"])
