"""Finding the words of a list in a text: where their first three characters may stand, told by a table lookup for each
two neighbours, and then word by word. Time is linear in the text; the number of words matters little.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.characters import Codes, codes_of
from preprocessing.text.folding import fold

_KATAKANA = re.compile("[ァ-ヺー]+")
_LATIN = re.compile("[a-z]+")
_FACTOR = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(15)
_PAIRS = 1 << 17
_WHOLE, _START, _SECOND = 1, 2, 4
"""What two neighbours may be: a word of two characters, the first two and the second two of a longer one."""


Pairs = NDArray[np.uint32]


class Found(NamedTuple):
    """A word in a text."""

    start: int
    end: int
    word: str


class WordFinder:
    """The words of one list, folded."""

    def __init__(self, words: Iterable[str], *, stand_alone: bool = True) -> None:
        """
        Args:
            words: in any spelling; folded ones are looked for.
            stand_alone: words of katakana only count where no katakana stands beside them (アス in アスパラガス), and
                words of Latin letters only where no Latin letter does.
        """
        self._by_start: dict[str, list[tuple[str, re.Pattern[str] | None]]] = defaultdict(list)
        self._pairs = np.zeros(_PAIRS, np.uint8)
        self._single = np.zeros(0x110000, np.bool_)
        self._has_single = False
        # Longest first: of words that begin alike, the longest counts.
        for word in sorted({fold(word) for word in words} - {""}, key=lambda word: (-len(word), word)):
            alone = next((kind for kind in (_KATAKANA, _LATIN) if stand_alone and kind.fullmatch(word)), None)
            self._by_start[word[:2]].append((word, alone))
            if len(word) == 1:
                self._single[ord(word)] = True
                self._has_single = True
            elif len(word) == 2:
                self._pairs[pairs_of(codes_of(word))] |= _WHOLE
            else:
                first, second = pairs_of(codes_of(word[:3])).tolist()
                self._pairs[first] |= _START
                self._pairs[second] |= _SECOND

    def find(self, text: str, codes: Codes, pairs: Pairs) -> Iterator[Found]:
        """Every word in the folded `text` from left to right, the longest at each place, without overlap.

        Args:
            text: a folded text.
            codes: its code points.
            pairs: `pairs_of(codes)`, which several lists share.
        """
        end = 0
        for start in self._candidates(codes, pairs).tolist():
            if start < end:
                continue
            word = self._word_at(text, start)
            if word is not None:
                end = start + len(word)
                yield Found(start, end, word)

    def _candidates(self, codes: Codes, pairs: Pairs) -> NDArray[np.int64]:
        kinds = self._pairs[pairs]
        found = np.flatnonzero(kinds & (_WHOLE | _START))
        following = kinds.take(found + 1, mode="clip")
        kinds = kinds[found]
        found = found[((kinds & _WHOLE) | (kinds & _START & (following >> 1))) != 0]
        if self._has_single:
            found = np.union1d(found, np.flatnonzero(self._single[codes]))
        return found

    def _word_at(self, text: str, start: int) -> str | None:
        for key in (text[start : start + 2], text[start]) if self._has_single else (text[start : start + 2],):
            for word, alone in self._by_start.get(key, ()):
                if text.startswith(word, start) and (alone is None or _stands_alone(text, start, word, alone)):
                    return word
        return None


def pairs_of(codes: Codes) -> Pairs:
    """A number below `_PAIRS` for every two neighbours, uint32 [characters - 1]."""
    pairs = codes[:-1] * _FACTOR
    pairs += codes[1:] * np.uint32(0x85EBCA6B)
    pairs >>= _SHIFT
    return pairs


def _stands_alone(text: str, start: int, word: str, kind: re.Pattern[str]) -> bool:
    end = start + len(word)
    before, behind = text[start - 1 : start] if start else "", text[end : end + 1]
    return not (kind.match(before) or kind.match(behind))
