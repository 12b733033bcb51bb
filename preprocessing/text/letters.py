"""Japanese letters as Swallow counts them (quality.py of Swallow Corpus Version 1).

    hiragana   U+3041-3096
    katakana   U+30A1-30FA: neither the prolonged sound mark ー nor half-width katakana
    kanji      々 〇 〻, U+3400-9FFF, U+F900-FAFF: none beyond the basic plane (the published pattern for those looks
               for surrogates, which Python's strings do not have)
    marks      、，。．！？
Other rules of ours use `preprocessing.text.characters`.
"""

from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.characters import Codes


class Letter(IntEnum):
    """What a code point counts as."""

    OTHER = 0
    HIRAGANA = 1
    KATAKANA = 2
    KANJI = 3
    MARK = 4


_RANGES: dict[Letter, tuple[tuple[int, int], ...]] = {
    Letter.HIRAGANA: ((0x3041, 0x3096),),
    Letter.KATAKANA: ((0x30A1, 0x30FA),),
    Letter.KANJI: ((0x3005, 0x3005), (0x3007, 0x3007), (0x303B, 0x303B), (0x3400, 0x9FFF), (0xF900, 0xFAFF)),
}
_MARKS = "、，。．！？"


def letter_counts(codes: Codes) -> NDArray[np.int64]:
    """Characters of each `Letter`, int64 [letters]."""
    return np.bincount(_table()[codes], minlength=len(Letter)).astype(np.int64)


@cache
def _table() -> NDArray[np.uint8]:
    table = np.full(0x110000, Letter.OTHER, dtype=np.uint8)
    for letter, ranges in _RANGES.items():
        for first, last in ranges:
            table[first : last + 1] = letter
    table[[ord(mark) for mark in _MARKS]] = Letter.MARK
    return table
