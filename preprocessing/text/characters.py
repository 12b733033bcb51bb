"""Classes of characters, here and in every step that counts them.

    hiragana   U+3041-3096 and the iteration marks U+309D-309F
    katakana   U+30A1-30FA, the prolonged sound mark and iteration marks U+30FC-30FF, small forms U+31F0-31FF,
               half-width U+FF66-FF9F
    kanji      U+3005 々, U+3006 〆, U+3007 〇, U+3400-4DBF, U+4E00-9FFF, U+F900-FAFF, U+20000-323AF
Punctuation, digits and Latin letters are in none of them.
"""

import unicodedata
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
"""Unicode code points of a text."""


class CharacterClass(IntEnum):
    """What a code point counts as."""

    OTHER = 0
    SPACE = 1
    HIRAGANA = 2
    KATAKANA = 3
    KANJI = 4


_RANGES: dict[CharacterClass, tuple[tuple[int, int], ...]] = {
    CharacterClass.HIRAGANA: ((0x3041, 0x3096), (0x309D, 0x309F)),
    CharacterClass.KATAKANA: ((0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    CharacterClass.KANJI: (
        (0x3005, 0x3007),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x323AF),
    ),
}
_SPACES = (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x3000)


def codes_of(text: str) -> Codes:
    """Code points of `text`, read-only."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


@cache
def class_table() -> NDArray[np.uint8]:
    """`CharacterClass` of every code point: 1.1 MB, of which text touches little."""
    table = np.full(0x110000, CharacterClass.OTHER, dtype=np.uint8)
    table[list(_SPACES)] = CharacterClass.SPACE
    for kind, ranges in _RANGES.items():
        for first, last in ranges:
            table[first : last + 1] = kind
    return table


@cache
def symbol_table() -> NDArray[np.bool_]:
    """Truth of every code point: whether it is punctuation, a sign, a space or a control; not 、。 and the line end.

    By general category (P, S, Z, C) of Python's Unicode version, code points without a character left out.
    """
    table = np.zeros(0x110000, dtype=np.bool_)
    # No others have characters yet.
    for first, end in ((0, 0x3400), (0x4DC0, 0x4E00), (0xA000, 0xAC00), (0xD7A4, 0xD800), (0xE000, 0x20000)):
        for code in range(first, end):
            category = unicodedata.category(chr(code))
            table[code] = category[0] in "PSZC" and category != "Cn"
    for first, end in ((0xE0000, 0xE0200), (0xF0000, 0x110000)):
        table[first:end] = True
    table[codes_of("、。\n")] = False
    return table


def table_of(*ranges: tuple[int, int] | str) -> NDArray[Any]:
    """Truth of every code point: whether it lies in one of the ranges (both ends included) or strings."""
    table = np.zeros(0x110000, dtype=np.bool_)
    for item in ranges:
        if isinstance(item, str):
            table[codes_of(item)] = True
        else:
            table[item[0] : item[1] + 1] = True
    return table
