import unicodedata

import pytest
from raw import document

from preprocessing.filters.symbols import SymbolsFilter
from preprocessing.text.characters import symbol_table


def reason(text: str, **fields) -> str | None:
    return SymbolsFilter(**fields).reason(document(text))


@pytest.mark.parametrize("text", ["★☆♪", "！？「」", "(^_^)", "　 ", "🙂", "\u200b", "---"])
def test_symbols(text):
    assert reason(text + "字" * len(text), maximum=0.5) is None
    assert reason(text + "字" * len(text), maximum=0.49) == "symbols"


def test_ordinary_text_has_none():
    assert reason("今日は、晴れ。\nコーヒー1杯と１ユーロ士官ABC", maximum=0) is None
    assert reason("", maximum=0) is None


def test_by_general_category():
    table = symbol_table()
    for code in [*range(0x3000), *range(0xFF00, 0x10000), *range(0x1F300, 0x1F700), 0xE0001, 0xF0000, 0x20000]:
        category = unicodedata.category(chr(code))
        expected = category[0] in "PSZC" and category != "Cn" and chr(code) not in "、。\n"
        assert table[code] == expected or category == "Cn"
