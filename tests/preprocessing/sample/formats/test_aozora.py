"""Works in the format of Aozora Bunko, looked at without our reader: encoding, line ends, parts, signs."""

import re
from collections import Counter

import pytest

from preprocessing.readers._aozora_format import split


@pytest.fixture(scope="module")
def works(corpus, answers):
    """(answer, text) of every work."""
    found = [(answer, (corpus / answer["file"]).read_bytes()) for answer in answers if answer["source"] == "aozora"]
    return [(answer, data.decode("cp932")) for answer, data in found]


def test_lines_end_with_crlf(works):
    for _, text in works:
        assert text.endswith("\r\n")
        assert text.count("\n") == text.count("\r") == text.count("\r\n")


def test_works_that_are_also_utf_8_do_not_occur(corpus, works):
    for answer, _ in works:
        with pytest.raises(UnicodeDecodeError):
            (corpus / answer["file"]).read_bytes().decode("utf-8")


def test_header_legend_and_colophon(works):
    for answer, text in works:
        title, author, blank, *rest = text.split("\r\n")
        assert (title, author, blank) == (answer["title"], answer["author"], "")
        assert title
        assert author
        rules = [line for line in rest if re.fullmatch("-{53,60}", line)]
        assert len(rules) in (0, 2)
        if rules:
            assert rest[0] == rules[0]
            assert rest[1] == "【テキスト中に現れる記号について】"
        tail = text[text.rindex("\r\n底本：") :]
        assert all(f"\r\n{name}：" in tail for name in ("底本", "入力", "校正"))
        reserved = "rights_reserved" in {defect["type"] for defect in answer["defects"]}
        assert ("著作権が存続" in tail) == reserved
    assert any(answer["expected"] == "reject" for answer, _ in works)


def test_signs_are_counted(works):
    total = Counter()
    for answer, text in works:
        markup = answer["markup"]
        body = split(text.replace("\r\n", "\n")).body
        assert body.count("《") == body.count("》") == markup.get("ruby", 0)
        assert body.count("｜") == markup.get("ruby_bar", 0)
        assert body.count("※［＃") == markup.get("gaiji", 0)
        assert body.count("／＼") + body.count("／″＼") == markup.get("repeat_mark", 0)
        assert body.count("見出し］") == markup.get("heading", 0)
        assert body.count("［＃改ページ］") == markup.get("page_break", 0)
        total.update(markup)
    assert {"ruby", "ruby_bar", "heading"} <= total.keys()


def test_ruby_stands_on_kanji_and_reads_as_kana(works):
    for _, text in works:
        for base, reading in re.findall("([^《》｜\r\n])《([^《》\r\n]*)》", text):
            assert re.fullmatch("[一-鿿々〆ヶぁ-ゖァ-ヶー］]", base)
            assert re.fullmatch("[ぁ-ゖァ-ヶー・]+", reading)
