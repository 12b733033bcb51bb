import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.unicode import UnicodeMapper


def mapped(text: str, **fields: bool) -> str:
    return UnicodeMapper(**fields).map(document(text), Counter())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一\r\n二\r三\n四\u2028五\u2029六\x85七\x0b八\x0c九", "一\n二\n三\n四\n五\n六\n七\n八\n九"),
        ("\ufeffゼロ\u200b幅\u200eと\xad柔らかいハイフン\x07", "ゼロ幅と柔らかいハイフン"),
        ("家族👨‍👩‍👧と葛\U000e0100城と☺️", "家族👨‍👩‍👧と葛\U000e0100城と☺️"),
        ("タブ\tは残る", "タブ\tは残る"),
        ("か\u3099き゛くﾞは\u309aひ゜ふﾟ", "がぎぐぱぴぷ"),
        ("カ\u3099ハ゜ウ゛ゝ゛", "ガパヴゞ"),
        ("あ゛っ、ん\u3099、゛濁点", "あ゛っ、ん\u3099、゛濁点"),
        ("ｶﾞｷﾞｸﾞ､ﾊﾟﾝ｡｢ｱﾞ｣", "ガギグ、パン。「ア゛」"),
        ("神神 ①㈱㍻…～〜（全角）ＡＢＣ", "神神 ①㈱㍻…～〜（全角）ＡＢＣ"),
        ("絵\ue63e文字", "絵文字"),
        ("a▁b", "a_b"),
        ("plain ascii", "plain ascii"),
        ("", ""),
    ],
)
def test_one_spelling(text, expected):
    assert mapped(text) == expected


def test_full_width_letters_and_digits():
    text = "（Ａｂ１２，３．４）！ｶﾞ＠："
    assert mapped(text, half_width_alphanumerics=True) == "（Ab12，3．4）！ガ＠："
    assert mapped(text) == "（Ａｂ１２，３．４）！ガ＠："


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A&nbsp;&amp;&quot;B&quot;", 'A\u00a0&"B"'),
        ("&#12354;&#x3044;&#X3046;", "あいう"),
        ("&amp;lt;br&amp;gt;", "&lt;br&gt;"),
        ("&hellip;&copy;&yen;100", "…©¥100"),
        ("?a=1&copy=2&para;", "?a=1&copy=2¶"),
        ("&unknown; &#0; &#xD800; &#9999999; & ; &;", "&unknown; &#0; &#xD800; &#9999999; & ; &;"),
        ("&#x200B;&#57404;&#13;&#10;か&#x3099;", "\nが"),
        ("AT&T; R&D", "AT&T; R&D"),
    ],
)
def test_entities_are_read_once(text, expected):
    assert mapped(text, html_entities=True) == expected
    assert mapped("&amp;") == "&amp;"


def test_entities_are_tallied():
    tally: Counter[str] = Counter()
    UnicodeMapper(html_entities=True).map(document("&lt;&nosuch;&#x3042;&#xE000;"), tally)
    assert tally == {"html_entities": 3, "private_use": 1}


def test_half_width_katakana_may_stay():
    assert mapped("ｶﾞｷﾞ､", full_width_katakana=False) == "ｶﾞｷﾞ､"


def test_nfkc_keeps_voiced_kana_whole():
    assert mapped("①㈱ｶﾞ（Ａ）カ゛　あ゛", nfkc=True) == "1(株)ガ(A)ガ あ゛"


def test_losses_are_tallied():
    tally: Counter[str] = Counter()
    UnicodeMapper().map(document("▁▁\ue000\uf8ff\u200b"), tally)
    assert tally == {"sentencepiece_space": 2, "private_use": 2}


SAMPLES = st.text(st.sampled_from("あかがハｶﾊﾞﾟ゛゜\u3099\u309a\r\n\u2028\u200b\ue000▁ａ①神A "), max_size=30) | st.text()


@given(SAMPLES, st.booleans())
def test_a_second_pass_changes_nothing(text, nfkc):
    once = mapped(text, nfkc=nfkc)
    assert mapped(once, nfkc=nfkc) == once
    assert not set("\r\u2028\u200b\ue000▁") & set(once)


@given(SAMPLES)
def test_what_is_seen_stays_what_it_is(text):
    def seen(value: str) -> str:
        value = unicodedata.normalize("NFKC", value.replace("▁", "_"))
        kept = (char for char in value if unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"))
        return unicodedata.normalize("NFC", "".join(kept))

    assert seen(mapped(text)) == seen(text)
