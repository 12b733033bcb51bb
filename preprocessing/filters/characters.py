"""Is it Japanese? Decided by the share of kana and kanji, which needs no model.

Classes of letters, here and in every step that counts them:
    hiragana   U+3041-3096 and the iteration marks U+309D-309F
    katakana   U+30A1-30FA, the prolonged sound mark and iteration marks U+30FC-30FF, small forms U+31F0-31FF,
               half-width U+FF66-FF9F
    kanji      U+3005 々, U+3006 〆, U+3007 〇, U+3400-4DBF, U+4E00-9FFF, U+F900-FAFF, U+20000-323AF
Punctuation, digits and Latin letters are in none of them.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter

if TYPE_CHECKING:
    import numpy as np

_OTHER, _SPACE, _HIRAGANA, _JAPANESE = range(4)
_HIRAGANA_RANGES = ((0x3041, 0x3096), (0x309D, 0x309F))
_OTHER_JAPANESE_RANGES = (
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FF),
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
    (0x3005, 0x3007),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_SPACES = (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x3000)


class CharactersFilter(Filter):
    """Drops `not_japanese` (few kana and kanji) and `no_hiragana` (Chinese, or lists of names).

    Old laws and telegrams written in kanji and katakana have no hiragana: set `minimum_hiragana` to 0 for them.
    """

    minimum_japanese: float = Field(default=0.5, ge=0, le=1)
    """Least share of hiragana, katakana and kanji among all characters but spaces."""
    minimum_hiragana: float = Field(default=0.1, ge=0, le=1)
    """Least share of hiragana among hiragana, katakana and kanji."""

    def reason(self, document: Document) -> str | None:
        characters, japanese, hiragana = count(document.text)
        if japanese < self.minimum_japanese * characters:
            return "not_japanese"
        if hiragana < self.minimum_hiragana * japanese:
            return "no_hiragana"
        return None


def count(text: str) -> tuple[int, int, int]:
    """Characters that are no spaces; those that are hiragana, katakana or kanji; those that are hiragana."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    counts = np.bincount(_classes()[codes], minlength=4)
    hiragana = int(counts[_HIRAGANA])
    return len(codes) - int(counts[_SPACE]), int(counts[_JAPANESE]) + hiragana, hiragana


@cache
def _classes() -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Class of every code point: 1.1 MB, of which text touches little."""
    import numpy as np

    table = np.full(0x110000, _OTHER, dtype=np.uint8)
    table[list(_SPACES)] = _SPACE
    for ranges, kind in ((_HIRAGANA_RANGES, _HIRAGANA), (_OTHER_JAPANESE_RANGES, _JAPANESE)):
        for first, last in ranges:
            table[first : last + 1] = kind
    return table
