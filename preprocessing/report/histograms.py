"""Lengths and scripts of documents, as they were read and as they were kept: counters that add up.

    lengths.<when>.<b>            documents of 2^(b-1) <= characters < 2^b; every document
    scripts.<when>.<script>.<d>   documents of which this script makes up d to d+1 tenths; about one in 32
    characters.<when>.<script>    characters of this script in the same documents

`when` is `read` or `kept`; a share is one of the characters that are no spaces.
"""

from collections import Counter
from functools import cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.document import Document
from preprocessing.text.characters import CharacterClass, class_table

SCRIPTS = ("other", "space", "hiragana", "katakana", "kanji", "latin", "digits")
"""In the order of their numbers, of which the first are those of `CharacterClass`."""
SHOWN = ("hiragana", "katakana", "kanji", "latin", "digits", "other")
WHENS = ("read", "kept")
LARGEST_BIT = 25
"""Longer documents than 2^24 characters stand with those of 2^24."""
_LATIN, _DIGITS = len(CharacterClass), len(CharacterClass) + 1
_RANGES = {
    # Basic, Latin-1, extended A and B; full width.
    _LATIN: ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    _DIGITS: ((0x30, 0x39), (0xFF10, 0xFF19)),
}


class Histograms:
    """Counts while documents pass."""

    def __init__(self) -> None:
        self._lengths = {when: [0] * (LARGEST_BIT + 1) for when in WHENS}
        self._characters = {when: [0] * len(SCRIPTS) for when in WHENS}
        self._tenths = {when: [[0] * 10 for _ in SCRIPTS] for when in WHENS}

    def add_length(self, when: str, characters: int) -> None:
        """Count a document by its length."""
        self._lengths[when][min(characters.bit_length(), LARGEST_BIT)] += 1

    def add_scripts(self, when: str, document: Document) -> None:
        """Count a document by the scripts of its text as it is now."""
        numbers = np.bincount(_script_table()[document.view.codes], minlength=len(SCRIPTS)).tolist()
        visible = len(document.text) - numbers[CharacterClass.SPACE] or 1
        characters, tenths = self._characters[when], self._tenths[when]
        for script, number in enumerate(numbers):
            characters[script] += number
            tenths[script][min(10 * number // visible, 9)] += 1

    def counts(self) -> Counter[str]:
        """All counts that are not 0."""
        found: Counter[str] = Counter()
        for when in WHENS:
            found.update({f"lengths.{when}.{bits:02d}": number for bits, number in enumerate(self._lengths[when])})
            for script in SHOWN:
                index = SCRIPTS.index(script)
                found[f"characters.{when}.{script}"] = self._characters[when][index]
                found.update(
                    {f"scripts.{when}.{script}.{tenth}": n for tenth, n in enumerate(self._tenths[when][index])}
                )
        return +found


@cache
def _script_table() -> NDArray[np.uint8]:
    """Index into `SCRIPTS` of every code point."""
    table = class_table().copy()
    for script, ranges in _RANGES.items():
        for first, last in ranges:
            table[first : last + 1] = script
    table[[0xD7, 0xF7]] = CharacterClass.OTHER
    return table
