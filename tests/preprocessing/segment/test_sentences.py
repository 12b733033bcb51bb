import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.segment.sentences import cut, split_sentences, training_lines

TEXT = st.text(st.sampled_from("あい猫。。．！？!?「」『』（）()」、と\n a1𠮷"), max_size=300) | st.text(max_size=60)


def size(text: str) -> int:
    return len(text.encode())


@pytest.mark.parametrize(
    "expected",
    [
        [],
        ["句点のない文"],
        ["雨だ。", "風だ！", "雪か？", "霙だ｡", "終わり"],
        ["えっ！？", "本当に？！！", "うそ⁉", "はい"],
        ["空白の後。", " 次の文。", "　その次。"],
        # A newline ends a sentence and belongs to it, with the empty lines behind it.
        ["見出し\n", "一文目。\n\n\n", "二文目"],
        ["\n\n", "初め"],
        # Brackets: no sentence ends inside of them.
        ["「はい。どうぞ。」と言った。", "次。"],
        ["彼は（たぶん。きっと！）来る。", "来た。"],
        ["『「二重。」の引用。』だった。", "終。"],
        ["「鉤『二重。』（丸。）。」、と続く。", "終。"],
        # What closes behind the mark belongs to the sentence; hiragana or a comma goes on with it.
        ["「はい。」", "彼は笑った。"],
        ["「はい。」\n", "「いいえ！」", "「どちら？」"],
        ["（そうだ。）", "晴れた。"],
        ["（「そう。」）", "晴れた。"],
        ["　「そう。」", "晴れた。"],
        ["映画『君の名は。』公開中。", "次。"],
        # The full stop of papers, but not inside of numbers and names.
        ["値は３．１４である．", "次に3．5を見る．", "終"],
        ["Ｖｅｒ１．２を使う！．", "（そうだ．）", "Ｊ．Ｓ．", "バッハ．", "次"],
        # A bracket that is never closed, or was never opened, glues nothing.
        ["「開いたまま。", "次。\n", "その次。", "終"],
        ["開かない。」", "次。"],
        ["箇条 1) 一つ。", "2) 二つ。"],
        # ASCII marks end sentences, but not inside of addresses and code.
        ["はい!", "いいえ?", " a != b です。", "http://a.jp/?q=1&b!c を見る。"],
    ],
)
def test_cases_by_hand(expected: list[str]) -> None:
    assert split_sentences("".join(expected)) == expected


def test_long_brackets_are_divided_and_short_ones_are_not() -> None:
    short = "「" + "話は続く。" * 39 + "」と言った。"
    assert split_sentences(short) == [short]
    long = "「" + "話は続く。" * 60 + "」と言った。"
    assert split_sentences(long) == ["「話は続く。", *["話は続く。"] * 58, "話は続く。」と言った。"]
    unclosed = "（" + "話は続く。" * 60 + "終"
    assert len(split_sentences(unclosed)) == 61


@given(TEXT)
def test_the_sentences_are_the_text(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join(sentences) == text
    assert all(sentences)
    assert all("\n" not in sentence.rstrip("\n") for sentence in sentences[1:])
    assert len("".join(sentences[:1]).lstrip("\n").rstrip("\n").split("\n")) == 1


@given(left=TEXT, right=TEXT)
def test_a_line_is_divided_alike_wherever_it_stands(left: str, right: str) -> None:
    right = right.lstrip("\n")
    assert split_sentences(f"{left}\n{right}") == split_sentences(f"{left}\n") + split_sentences(right)


def test_time_is_linear_in_hostile_text() -> None:
    # A quadratic rule would take minutes.
    for pattern in ("「", "「。", "」", "。」", "（（）", "!?", "\n", "「" + "あ" * 99, "?q"):
        text = pattern * (400_000 // len(pattern))
        assert "".join(split_sentences(text)) == text


@given(text=TEXT, max_bytes=st.integers(8, 100))
def test_training_lines_lose_nothing_but_newlines(text: str, max_bytes: int) -> None:
    lines = list(training_lines(text, max_bytes))
    assert "".join(lines) == text.replace("\n", "")
    assert all(0 < size(line) <= max_bytes for line in lines)


@given(text=TEXT, max_bytes=st.integers(8, 100))
def test_cutting_loses_nothing(text: str, max_bytes: int) -> None:
    pieces = list(cut(text, max_bytes))
    assert "".join(pieces) == text
    assert all(0 < size(piece) <= max_bytes for piece in pieces)


def test_short_lines_stay_whole_and_long_ones_are_cut_behind_sentences() -> None:
    assert list(training_lines("短い。行。\n\n次の行。", 64)) == ["短い。行。", "次の行。"]
    line = "「はい。」と言った。" + "雨が降った！" * 2 + "終"
    assert list(training_lines(line, 48)) == ["「はい。」と言った。雨が降った！", "雨が降った！終"]
