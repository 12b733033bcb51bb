from collections import Counter
from pathlib import Path

import pytest
from raw import document

from preprocessing.mappers.swallow_footer import SwallowFooterMapper

PROSE = [f"本文の{number}行目はここで終わる。" for number in range(40)]


def mapped(lines: list[str], tally: Counter[str] | None = None, **fields: object) -> list[str]:
    mapper = SwallowFooterMapper(**fields)  # type: ignore[arg-type]
    return mapper.map(document("\n".join(lines)), Counter() if tally is None else tally).split("\n")


def test_everything_behind_the_first_footer_line_goes():
    tally: Counter[str] = Counter()
    assert mapped([*PROSE, "あさひ町の写真", "会社概要 お問い合わせ", "電話 000", "© あさひ"], tally) == [
        *PROSE,
        "あさひ町の写真",
    ]
    assert tally == {"lines": 3, "characters": len("\n会社概要 お問い合わせ\n電話 000\n© あさひ")}


def test_share_must_be_exceeded(tmp_path: Path):
    words = tmp_path / "words.txt"
    words.write_text("# comment\nリンク\n", encoding="utf-8")
    fields = {"words": str(words), "published": True}
    assert mapped(["あ", "リンク1234567"], **fields) == ["あ", "リンク1234567"]  # 3 of 10
    assert mapped(["あ", "リンク123456"], **fields) == ["あ"]
    # One word after the other is taken out, and what is left moves together, as published.
    words.write_text("リンク集\nトップ\n", encoding="utf-8")
    assert mapped(["あ", "トリンク集ップ1234567"], **fields) == ["あ"]


def test_known_corner_cases():
    short = ["お知らせ", *PROSE[:5]]
    assert mapped(short, published=True) == [""]
    assert mapped(short) == short
    middle = [*PROSE, "コメント", "とても良い本だった。"]
    assert mapped(middle, published=True) == PROSE
    assert mapped(middle) == middle
    mostly_footer = ["一行", "二行", "三行", "四行", "お問い合わせ お問い合わせ お問い合わせ"]
    assert mapped(mostly_footer) == mostly_footer


def test_only_the_last_fifth_is_looked_at():
    lines = ["題名"] * 20 + ["リンク"] * 5
    assert mapped(lines) == lines[:20]
    lines = ["題名"] * 20 + ["リンク"] * 6
    assert mapped(lines) == lines[:21]


@pytest.mark.parametrize("text", ["", "一行", "コメント", "\n\n"])
def test_small_texts_stay(text):
    assert mapped(text.split("\n")) == text.split("\n")


def test_word_lists_are_checked(tmp_path: Path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    assert SwallowFooterMapper(words=str(empty)).problems() == [f"words: {empty} has no words"]
    assert "cannot be read" in SwallowFooterMapper(words=str(tmp_path / "none.txt")).problems()[0]
    assert SwallowFooterMapper().problems() == []
    assert SwallowFooterMapper(words="mine.txt").files() == ("mine.txt",)
    assert Path(SwallowFooterMapper().files()[0]).is_file()
