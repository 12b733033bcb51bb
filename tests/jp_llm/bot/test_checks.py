from pathlib import Path

import pytest

from jp_llm.bot.checks import Checks, read_words, shortened
from jp_llm.bot.config import BotConfig
from jp_llm.near_copies.config import IndexNearCopiesConfig
from jp_llm.near_copies.run import index
from jp_llm.runtime.errors import UserError

NOVEL = "親譲りの無鉄砲で小供の時から損ばかりしている。小学校に居る時分学校の二階から飛び降りて一週間ほど腰を抜かした。"


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    (tmp_path / "novel.txt").write_text(NOVEL)
    index(IndexNearCopiesConfig(data=(str(tmp_path / "novel.txt"),), output_dir=str(tmp_path / "index"), num_workers=1))
    (tmp_path / "words.txt").write_text("\ufeff# 使わない言葉\n\nバカ  # と阿呆\nABC\n")
    words, folder = str(tmp_path / "words.txt"), str(tmp_path / "index")
    return Checks(BotConfig(state_dir="bot", texts="t.jsonl", words_file=words, index=(folder,)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("今日はいい天気だ。", None),
        ("", "nothing is in it"),
        ("あ" * 141, "too long: it weighs 282 of 280"),
        ("お前はﾊﾞｶか", "a word of the list: バカ"),
        ("ａｂｃを習う", "a word of the list: abc"),
        ("猫 https://example.com/x を見て", "a link: https://example.com/x"),
        ("見て→example.com", "a link: example.com"),
        ("＠natsume さん", "names an account: ＠natsume"),
        ("RT@neko こんにちは", "names an account: @neko"),
        ("mail@", None),
        ("https://日本語.jp/", "a link: https://"),
        ("example.みんな", "a link: example.みんな"),
        ("1.はじめに", None),
        ("猫\ufeff", "X does not take the character U+FEFF"),
        ("日本\ufffd 株式会社", "it holds \ufffd, a character of which the model wrote only a part"),
    ],
)
def test_reasons_are_said_in_words(checks: Checks, text: str, reason: str | None) -> None:
    assert checks.reason(text) == reason


def test_near_copies_are_rejected(checks: Checks) -> None:
    assert (checks.reason("僕は" + NOVEL[:40]) or "").startswith("a run of 39 characters is in novel.txt")


def test_links_and_accounts_can_be_allowed() -> None:
    checks = Checks(BotConfig(state_dir="b", texts="t", allow_links=True, allow_mentions=True))
    assert checks.reason("@natsume https://example.com") is None


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("短い", 280, "短い"),
        ("一つ。二つ！三つ目は長い", 12, "一つ。二つ！"),
        ("「一つ。」と言う。三つ目は長い", 18, "「一つ。」と言う。"),
        ("「本当？」二人目", 12, "「本当？」"),
        ("「行こう」「嫌だ」と言う", 12, "「行こう」"),
        ("来た。彼は「東京」と書いた紙を持つ", 18, "来た。"),
        ("まさか！？そんな", 10, "まさか！？"),
        ("一行目\n二行目の長い文", 10, "一行目"),
        ("終わりのない長い文", 10, "終わりのない長い文"),
    ],
)
def test_long_texts_end_with_a_sentence(text: str, most: int, expected: str) -> None:
    assert shortened(text, most) == expected


def test_word_lists_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "sjis.txt").write_bytes("阿呆".encode("cp932"))
    for name, message in [("empty.txt", "holds no words"), ("sjis.txt", "not UTF-8"), ("no.txt", "cannot be read")]:
        with pytest.raises(UserError, match=message):
            read_words(tmp_path / name)
