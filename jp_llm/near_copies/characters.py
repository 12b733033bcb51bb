"""What is compared of a text: its letters and digits, so that spaces, punctuation, width and case make no difference.

A text is NFKC-normalised (Unicode Standard Annex 15) and taken as UTF-16 code units. Of these, letters and digits
(categories L and N) are compared, small letters for capital ones; everything else is left out. A character beyond the
Basic Multilingual Plane is two units and counts as two.
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
    """For every unit what it is compared as; 0 where it is not compared. Shape as `units`."""
    return np.asarray(_table()[units], dtype=np.uint16)


def compared_units(text: str) -> Units:
    """The units of a text that are compared, one after the other."""
    units = folded(shown_units(text))
    return units[np.flatnonzero(units)]


@cache
def _table() -> Units:
    table = np.zeros(1 << 16, dtype=np.uint16)
    for code in range(1, 1 << 16):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cs":
            table[code] = code
        elif category[0] in "LN":
            small = character.lower()
            table[code] = ord(small) if len(small) == 1 else code
    return table
