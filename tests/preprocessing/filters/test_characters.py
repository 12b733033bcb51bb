import pytest
from raw import document

from preprocessing.filters.characters import CharactersFilter

KEPT = [
    "吾輩は猫である。名前はまだ無い。",
    "コンピューターのプログラムをインストールする手順について説明します。",
    "東京都千代田区にあるJR東日本の駅で、1日平均の乗車人員は約30万人である。",
    "ﾊﾝｶｸｶﾅで書かれたお知らせです。",
    "𠮷野家と髙島屋へ行きました。",
]


@pytest.mark.parametrize("text", KEPT)
def test_kept(text):
    assert CharactersFilter().reason(document(text)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The quick brown fox jumps over the lazy dog.", "not_japanese"),
        ("12:30 13:45 14:00 (15:20) → 料金 ¥1,200", "not_japanese"),
        ("Copyright 2024 Example Inc. 無断転載禁止", "not_japanese"),
        ("人工智能是计算机科学的一个分支，它企图了解智能的实质。", "no_hiragana"),
        ("トヨタ ホンダ ニッサン マツダ スバル スズキ", "no_hiragana"),
        ("安倍晋三 麻生太郎 福田康夫 小泉純一郎", "no_hiragana"),
    ],
)
def test_dropped(text, reason):
    assert CharactersFilter().reason(document(text)) == reason


def test_katakana_laws_pass_when_asked():
    law = "天皇ハ神聖ニシテ侵スヘカラス"
    assert CharactersFilter().reason(document(law)) == "no_hiragana"
    assert CharactersFilter(minimum_hiragana=0).reason(document(law)) is None
