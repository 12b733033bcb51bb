"""What is compared of a text: its letters and digits, so that spaces, punctuation, width and case make no difference.

A text is NFKC-normalised (Unicode Standard Annex 15) and taken as UTF-16 code units. Of these, letters and digits
(categories L and N) are compared, small letters for capital ones; everything else is left out. A character beyond the
Basic Multilingual Plane (rare kanji, emoji) is two units, judged together; a kanji counts as two.
"""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.uint16]

SEPARATOR = 0
"""No text holds it, so no run and no gram goes from one document into the next."""


def shown_units(text: str) -> Units:
    """UTF-16 code units of a text after NFKC: what is shown as a passage. A lone surrogate is kept as it is."""
    encoded = unicodedata.normalize("NFKC", text).encode("utf-16-le", "surrogatepass")
    return np.frombuffer(encoded, dtype="<u2")


def text_of(units: Units) -> str:
    """The text of code units; half a character at an end is left out."""
    return units.astype("<u2").tobytes().decode("utf-16-le", "ignore")


def folded(units: Units) -> Units:
    """For every unit what it is compared as; 0 where it is not compared. Shape as `units`.

    Half a character is compared as it is, so both halves of a compared one are, also where `units` are cut between.
    """
    found: Units = _table()[units]
    high = np.flatnonzero(units[:-1] & 0xFC00 == 0xD800)
    high = high[units[high + 1] & 0xFC00 == 0xDC00]
    if len(high):
        distinct, which = np.unique(units[high].astype(np.uint32) << 16 | units[high + 1], return_inverse=True)
        pairs = np.array([_folded_pair(int(pair)) for pair in distinct], dtype=np.uint32)[which]
        found[high], found[high + 1] = pairs >> 16, pairs & 0xFFFF
    return found


def compared_units(text: str) -> Units:
    """The units of a text that are compared, one after the other."""
    units = folded(shown_units(text))
    return units[np.flatnonzero(units)]


@cache
def _table() -> Units:
    table = np.zeros(1 << 16, dtype=np.uint16)
    for code in range(1, 1 << 16):
        character = chr(code)
        table[code] = code if unicodedata.category(character) == "Cs" else ord(_folded_character(character))
    return table


def _folded_character(character: str) -> str:
    if unicodedata.category(character)[0] not in "LN":
        return chr(SEPARATOR)
    small = character.lower()
    return small if len(small) == 1 else character


@cache
def _folded_pair(pair: int) -> int:
    """Two surrogates in one number; 0 where the character is not compared."""
    character = pair.to_bytes(4, "big").decode("utf-16-be")
    return int.from_bytes(_folded_character(character).encode("utf-16-be"), "big")
