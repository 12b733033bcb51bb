"""One spelling for comparison: what differs only in width, case or compatibility form becomes equal.

Every character becomes the one that NFKC and lower case make of it: Ａ, A and ａ are a, ！ is !, ① is 1. Characters
of which they make several stay (㈱, …), so a text keeps its length; only half-width kana with their marks are composed
(ｶﾞ is ガ) and shorten it.
"""

import re
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.characters import Codes, codes_of

_HALF_WIDTH_MARKED = re.compile("[\uff66-\uff9d][\uff9e\uff9f]")
_MARKS = ("\uff9e", "\uff9f")
_RANGES = ((0x0041, 0x3400), (0xA640, 0xAC00), (0xF900, 0x10000), (0x1D400, 0x1D800))
"""Where characters lie that change, kanji proper and hangul left out."""


def folded(text: str, codes: Codes) -> tuple[str, Codes]:
    """The folded text and its code points.

    Args:
        text: any text.
        codes: its code points.
    """
    if any(mark in text for mark in _MARKS):
        codes = codes_of(_HALF_WIDTH_MARKED.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text))
    changed = _table()[codes]
    return changed.tobytes().decode("utf-32-le", "surrogatepass"), changed


def fold(text: str) -> str:
    """The folded text."""
    return folded(text, codes_of(text))[0]


@cache
def _table() -> NDArray[np.uint32]:
    table = np.arange(0x110000, dtype="<u4")
    for first, end in _RANGES:
        for code in range(first, end):
            form = unicodedata.normalize("NFKC", chr(code)).lower()
            if len(form) == 1:
                table[code] = ord(form)
    return table
