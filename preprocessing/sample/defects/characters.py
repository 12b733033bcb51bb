"""Characters that look right and are not: separated marks, half and full width, invisible ones."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from random import Random

from preprocessing.sample.defects.planting import Planting

_VOICED = re.compile(
    "[がぎぐげござじずぜぞだぢづでどばびぶべぼぱぴぷぺぽガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポヴ]"
)
_KATAKANA = re.compile("[ァ-ヴー]{2,}")
_ASCII = re.compile("[0-9A-Za-z]+")
_KANA_OR_KANJI = re.compile("[ぁ-ゖァ-ヺ一-鿿](?=[ぁ-ゖァ-ヺ一-鿿])")
_ZERO_WIDTH = ("\u200b", "\u200c", "\u2060", "\ufeff", "\u00ad", "\u200e")
_SPACING_MARKS = {"\u3099": "\u309b", "\u309a": "\u309c"}
# NFKC is the definition of half width; this is its inverse for single katakana and marks.
_HALF_WIDTH = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFF9E)}
_HALF_WIDTH_MARKS = {"\u3099": "\uff9e", "\u309a": "\uff9f"}


def _some(rng: Random, pattern: re.Pattern[str], text: str, count: int) -> list[re.Match[str]]:
    found = list(pattern.finditer(text))
    return rng.sample(found, min(count, len(found)))


def _separated_dakuten(rng: Random, planting: Planting) -> None:
    combining = rng.random() < 0.5
    for match in _some(rng, _VOICED, planting.clean, rng.randint(3, 12)):
        base, mark = tuple(unicodedata.normalize("NFD", match[0]))
        found = base + (mark if combining else _SPACING_MARKS[mark])
        planting.replace(match.start(), match.end(), found, "separated_dakuten")


def _half_width(text: str) -> str:
    parts = unicodedata.normalize("NFD", text)
    return "".join(_HALF_WIDTH.get(part) or _HALF_WIDTH_MARKS[part] for part in parts)


def _half_width_katakana(rng: Random, planting: Planting) -> None:
    for match in _some(rng, _KATAKANA, planting.clean, rng.randint(2, 8)):
        planting.replace(match.start(), match.end(), _half_width(match[0]), "half_width_katakana")


def _full_width_ascii(rng: Random, planting: Planting) -> None:
    for match in _some(rng, _ASCII, planting.clean, rng.randint(2, 10)):
        found = "".join(chr(ord(character) + 0xFEE0) for character in match[0])
        planting.replace(match.start(), match.end(), found, "full_width_ascii")


def _zero_width(rng: Random, planting: Planting) -> None:
    for match in _some(rng, _KANA_OR_KANJI, planting.clean, rng.randint(2, 10)):
        planting.replace(match.end(), match.end(), rng.choice(_ZERO_WIDTH), "zero_width")


def _lower_block(rng: Random, planting: Planting) -> None:
    """U+2581, with which SentencePiece writes a space; the pipeline puts an underscore in its place."""
    for match in _some(rng, _KANA_OR_KANJI, planting.clean, rng.randint(1, 4)):
        if planting.is_free(match.end()):
            planting.insert(match.end(), "_", [])
    for match in re.finditer("_", planting.clean):
        planting.replace(match.start(), match.end(), "\u2581", "lower_block")


CHARACTER_DEFECTS: Mapping[str, Callable[[Random, Planting], None]] = {
    "separated_dakuten": _separated_dakuten,
    "half_width_katakana": _half_width_katakana,
    "full_width_ascii": _full_width_ascii,
    "zero_width": _zero_width,
    "lower_block": _lower_block,
}
"""Type -> what plants it."""
