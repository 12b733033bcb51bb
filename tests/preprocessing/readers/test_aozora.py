import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import read, texts

from preprocessing.document import Document
from preprocessing.readers._aozora_format import gaiji, plain_text, split
from preprocessing.readers.aozora import AozoraReader

RULE = "-" * 55
LEGEND = f"{RULE}\n【テキスト中に現れる記号について】\n\n《》：ルビ\n（例）吾輩《わがはい》\n{RULE}\n"
COLOPHON = "\n\n\n底本：「全集」文庫\n　　　1987（昭和62）年\n入力：某\n青空文庫作成ファイル：\n"


def work(body: str, legend: str = LEGEND, colophon: str = COLOPHON, head: str = "題名\n作者名\n\n") -> bytes:
    return (head + legend + "\n" + body + colophon).replace("\n", "\r\n").encode("cp932")


def one(raw: bytes) -> Document:
    (found,) = read(AozoraReader(), raw)
    assert isinstance(found, Document)
    return found


def test_a_work_without_header_and_colophon():
    found = one(work("　吾輩《わがはい》は猫である。\n　名前はまだ無い。\n"))
    assert found.text == "　吾輩は猫である。\n　名前はまだ無い。"
    assert found.meta == {"title": "題名", "author": "作者名"}


@pytest.mark.parametrize(
    "legend", ["", LEGEND, LEGEND.replace(RULE, "-" * 9), LEGEND.replace("【", "《").replace("】", "》")]
)
def test_every_form_of_legend(legend):
    assert one(work("本文。", legend)).text == "本文。"


def test_a_legend_of_the_first_years():
    legend = f"［表記について］\n●ルビは「《ルビ》」の形式で処理した。\n{RULE}\n"
    typist = f"\n{RULE}\n●入力者注\n※１　馬の種類。\n{RULE}\n"
    assert one(work("本文。" + typist, legend)).text == "本文。"


def test_rules_around_the_text_go_and_rules_in_it_stay():
    body = f"{RULE}\n\n　前\n{RULE}\n　後\n{RULE}\n"
    assert one(work(body, "")).text == f"　前\n{RULE}\n　後"


def test_the_translator_is_not_the_author():
    assert one(work("本文。", head="題名\n副題\n作者名\n訳者名訳\n\n")).meta == {"title": "題名", "author": "作者名"}


@pytest.mark.parametrize(
    "colophon",
    [
        COLOPHON,
        "\n翻訳の底本：Poe, 1845\n入力：某\n",
        "\n底本：「上」文庫\n　　　1981年\n底本：「下」文庫\n　　　1981年\n入力：某\n",
        "\n",
    ],
)
def test_the_colophon_is_the_last_one(colophon):
    body = "　一\n底本：これは本文である。\n" + "　行\n" * 30 + "　終わり。\n"
    assert one(work(body, colophon=colophon)).text == body.rstrip()


@pytest.mark.parametrize(
    "notice",
    [
        "※この作品には著作権の存続するものが含まれます。",
        "この翻訳は「クリエイティブ・コモンズ 表示 2.1 日本 ライセンス」の下に提供されています。",
        "http://creativecommons.org/licenses/by/2.1/jp/",
    ],
)
def test_reserved_rights_exclude_a_work(notice):
    assert texts(read(AozoraReader(), work("本文。", colophon=COLOPHON + notice + "\n"))) == ["<rights_reserved>"]
    assert texts(read(AozoraReader(), work("本文。\n" + notice, colophon="\n"))) == ["<rights_reserved>"]


def test_a_text_about_rights_is_not_excluded():
    body = "　著作権の存続期間は五十年である。\n" + "　本文。\n" * 500
    assert one(work(body)).text == body.rstrip()


def test_bare_carriage_returns_and_utf8():
    raw = work("　一行目。\n　二行目。")
    assert one(raw.replace(b"\r\n", b"\r")).text == "　一行目。\n　二行目。"
    assert one(raw.decode("cp932").encode()).text == "　一行目。\n　二行目。"


def test_what_does_not_decode_or_fit_is_rejected():
    assert texts(read(AozoraReader(), b"\x81")) == ["<encoding>"]
    assert texts(read(AozoraReader(max_document_bytes=50), work("本文。"))) == ["<too_large>"]


def test_a_file_without_structure_is_all_text():
    assert one("　ただの文章。\n　続き。".encode("cp932")).text == "　ただの文章。\n　続き。"


MARKUP = [
    # Ruby: with and without start mark; the base stays.
    ("吾輩《わがはい》は｜この猫《こいつ》である。", "吾輩はこの猫である。"),
    ("ВОКС《ヴオクス》の｜○《まる》", "ВОКСの○"),
    ("──┬──｜物干し│", "──┬──｜物干し│"),
    # Notes go, their bases stay; lines of nothing but notes go whole.
    ("まだ［＃「まだ」に傍点］見ぬ", "まだ見ぬ"),
    ("［＃ここから２字下げ］\n一\n［＃ここで字下げ終わり］\n二\n［＃改ページ］\n三", "一\n二\n三"),
    ("［＃５字下げ］一［＃「一」は中見出し］\n", "一\n"),
    ("斯《かく》ノ如［＃レ］シ［＃二］", "斯ノ如シ"),
    ("和人《シサム［＃「ム」は小書き片仮名ム、1-6-89］》は", "和人は"),
    # Notes in notes, brackets in notes, brackets that are no notes, a note without end.
    ("みんな［＃「そうしてみんな［＃「みんな」に傍点］」は底本では「みん［＃「みん」に傍点］な」］が", "みんなが"),
    ("図［＃「図［その一］」のキャプション］と", "図と"),
    ("一九二六［大正一五］年［＃「年」はママ］", "一九二六［大正一五］年"),
    ("終わりの無い［＃注記", "終わりの無い注記"),
    # Gaiji: plane-row-cell, code point, kana described, nothing but a description.
    ("※［＃「てへん＋劣」、第3水準1-84-77］る", "挘る"),
    ("※［＃「てへん＋劣」、第3水準1-84-77］《むし》る", "挘る"),
    ("※［＃「鹿＋嚴」、U+9EA3、148-1］", "\u9ea3"),
    ("各※［＃二の字点、1-2-22］と※［＃濁点付き片仮名ワ、1-7-82］ール", "各〻とヷール"),
    ("ござ※［＃小書き平仮名ん、168-12］す", "ござんす"),
    ("※［＃濁点付き片仮名エ、53-9］", "エ゛"),
    ("※［＃「火＋發」、269-9］", "〓"),
    ("溌溂［＃「溌溂」は底本では「溌※［＃「さんずい＋刺」、第3水準9-99-99］」］", "溌溂"),
    ("※［＃「※［＃「柿」の正字、第3水準1-85-57］」の「木」に代えて「女」、749-12］", "〓"),
    # Signs of the markup as gaiji are signs of the text.
    ("※［＃始め二重山括弧、1-1-52］引用※［＃終わり二重山括弧、1-1-53］", "《引用》"),
    ("※［＃米印、1-2-8］［＃「※」に傍点］", "※"),
    # Repeat marks and accents.
    ("いろ／＼とだん／″＼", "いろ〳〵とだん〴〵"),
    ("〔Glu:ckliche Reise !〕と〔cafe'〕と〔c,a va〕", "Glückliche Reise !とcaféとça va"),
    ("〔ve'rite'《ヴェリテ》〕", "vérité"),
    ("〔AE&sop, Stra&sse, stras&e, ?@!@〕", "Æsop, Stråsse, straße, ¿¡"),
    ("〔l'e'toile d'or, 1806.〕", "l'étoile d'or, 1806."),
    ("〔一九二六年〕と〔plain text〕", "〔一九二六年〕と〔plain text〕"),
]


@pytest.mark.parametrize(("markup", "expected"), MARKUP)
def test_markup(markup, expected):
    assert plain_text(markup) == expected
    assert one(work(f"　前。\n{markup}\n　後。")).text == f"　前。\n{expected}\n　後。"


@pytest.mark.parametrize(("plane", "row", "cell"), [(1, 16, 1), (1, 84, 77), (1, 94, 90), (2, 1, 1), (2, 94, 86)])
def test_plane_row_cell_is_that_of_jis_x_0213(plane, row, cell):
    character = gaiji(f"「何か」、第{plane + 2}水準{plane}-{row}-{cell}")
    assert character.encode("euc_jis_2004")[-2:] == bytes([0xA0 + row, 0xA0 + cell])


@pytest.mark.parametrize(
    "description", ["「何か」、第3水準1-95-1", "「何か」、U+D800", "「何か」、U+1", "、2-1234-1", ""]
)
def test_impossible_gaiji_are_unknown(description):
    assert gaiji(description) == "〓"


@given(st.text(alphabet="あ亜A'［］＃※《》｜〔〕／＼″「」、1-\n", max_size=60))
def test_no_markup_breaks_the_reader(text):
    plain = plain_text(text)
    assert "［＃" not in plain or "［＃" not in text
    assert all(unicodedata.category(character) != "Cn" for character in plain)


@pytest.mark.parametrize("unit", ["［＃", "※［＃", "〔a'", "《", "｜あ", "［", "-----", "\n底本：", "［＃［"])
def test_no_markup_takes_quadratic_time(unit):
    plain_text(split(unit * 1_000_000).body)  # otherwise this runs into the time limit


@given(st.text(alphabet="あ-底本：\n【】", max_size=60))
def test_a_split_loses_nothing_of_an_unstructured_text(text):
    parts = split(text)
    assert all(part in "\n" + text for part in (parts.header, parts.body, parts.colophon))
