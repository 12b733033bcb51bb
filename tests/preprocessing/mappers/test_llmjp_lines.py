from collections import Counter

import pytest
from raw import document

from preprocessing.mappers.llmjp_lines import LlmjpLinesMapper


def mapped(text: str, published: bool = False) -> tuple[str, dict[str, int]]:
    tally: Counter[str] = Counter()
    result = LlmjpLinesMapper(published=published).map(document(text), tally)
    return result, {name: number for name, number in tally.items() if number}


@pytest.mark.parametrize(
    ("text", "published", "ours", "tally"),
    [
        ("本文です。\n東京都千代田区\n次の行。", "本文です。次の行。", "本文です。\n次の行。", {"lines": 1}),
        ("ー\nｶﾅ\nABC\n\n㍍", "ーｶﾅ㍍", "ー\nｶﾅ\n㍍", {"lines": 1}),
        ("見てhttps://example.com/a?b=1 ください", "見て ください", "見て ください", {"urls": 1}),
        ("見てhttps://example.com/を。", "見て。", "見てを。", {"urls": 1}),
        ("あ" + "x" * 99 + "い", "あ" + "x" * 99 + "い", "あ" + "x" * 99 + "い", {}),
        ("あ" + "x y" * 34 + "い", "あい", "あい", {"ascii_runs": 1}),
        (
            "あ" + "x" * 60 + "\n" + "y" * 60 + "い",
            "あ" + "x" * 60 + "y" * 60 + "い",
            "あ" + "x" * 60 + "\n" + "y" * 60 + "い",
            {},
        ),
        ("", "", "", {}),
    ],
)
def test_line_cut(text, published, ours, tally):
    assert mapped(text, published=True) == (published, tally)
    assert mapped(text) == (ours, tally)
