"""Keys by which texts are compared: what is left of a text when its looks are taken away.

    exact key   NFKC; white space, controls and invisible characters removed
    near key    exact key in lower case, punctuation and symbols removed, digits as 0 if asked; dakuten stay

Many texts are done at once, as one array of code points: a look-up table gives the key of every character that stands
for itself; only texts with combining marks, or with characters that become several, pass `unicodedata` first.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.characters import Codes, codes_of

_CODE_POINTS = 0x110000
_INTERESTING = (
    (0x0000, 0x33FF),
    (0x4DC0, 0x4DFF),
    (0xA000, 0xABFF),
    (0xD7A4, 0xD7FF),
    (0xF900, 0x16FFF),
    (0x18B00, 0x1FFFF),
    (0x2F800, 0x2FA1F),
    (0xE0000, 0xE01EF),
)
"""Beyond these there are only kanji, Hangul syllables, Tangut, private and unassigned characters, which are their own
keys (a test asks for every code point)."""
_VARIATION_SELECTORS = frozenset((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
_REMOVED = ("Cc", "Cf", "Zl", "Zp", "Zs")
_ELLIPSES = {"\u2026": "...", "\u2025": ".."}
"""So common in Japanese that they must not send a text to `unicodedata`."""


@dataclass(frozen=True)
class Keys:
    """The keys of several texts, one after the other."""

    codes: Codes
    """Code points, uint32 [characters]."""
    offsets: NDArray[np.int64]
    """Where each text begins, and the end; int64 [texts + 1]."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each key, int64 [texts]."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Codes:
        """The key of one text."""
        return self.codes[self.offsets[index] : self.offsets[index + 1]]


def exact_keys(texts: Sequence[str], *, mask_digits: bool = False) -> Keys:
    """Exact keys of `texts`; digits of all scripts as 0 with `mask_digits`."""
    return _keys(texts, _tables().exact_masked if mask_digits else _tables().exact)


def near_keys(texts: Sequence[str], *, mask_digits: bool = False) -> Keys:
    """Near keys of `texts`; digits of all scripts as 0 with `mask_digits`."""
    return _keys(texts, _tables().near_masked if mask_digits else _tables().near)


def near_codes(codes: Codes, text: str) -> Codes:
    """Near key of one text, whose code points are known already: uint32 [characters]."""
    tables = _tables()
    if tables.unsafe[codes].any():
        return near_keys([text]).codes
    keys = tables.near[codes]
    found: Codes = keys[keys != 0]
    return found


def near_key(text: str) -> str:
    """Near key of one text."""
    return near_keys([text]).codes.tobytes().decode("utf-32-le", "surrogatepass")


def segment_hashes(keys: Keys) -> NDArray[np.uint64]:
    """64-bit hash of each key, uint64 [texts]; 0 for an empty one.

    The sum of a well mixed function of every character and its place (SplitMix64): equal keys have equal hashes, others
    collide with probability 2^-64, and no algebra of polynomials modulo 2^64 helps to make them.
    """
    lengths, starts = keys.lengths, keys.offsets[:-1]
    hashes = np.zeros(len(keys), dtype=np.uint64)
    filled = np.flatnonzero(lengths)
    if filled.size:
        values = np.arange(len(keys.codes), dtype=np.uint64)
        values -= np.repeat(starts.astype(np.uint64), lengths)
        values <<= np.uint64(21)
        values |= keys.codes
        hashes[filled] = np.add.reduceat(mixed(values), starts[filled])
    return hashes


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea, Flood 2014) of each value, in place: a bijection in which every input bit counts."""
    values += np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


@dataclass(frozen=True)
class _Tables:
    """Code point -> its key, 0 where there is none; uint32 [code points]. 1.1 M entries, of which text touches few."""

    exact: Codes
    exact_masked: Codes
    near: Codes
    near_masked: Codes
    unsafe: NDArray[np.bool_]
    """Becomes several characters, or may join with the one before: bool [code points]."""


def _keys(texts: Sequence[str], table: Codes) -> Keys:
    unsafe = _tables().unsafe
    offsets = _offsets(texts)
    codes = codes_of("".join(texts))
    found = np.flatnonzero(unsafe[codes])
    if found.size:
        # NFKC twice is NFKC once: what is still "unsafe" in a normalised text stays as it is, and so does its key.
        texts = list(texts)
        for index in np.unique(np.searchsorted(offsets, found, side="right") - 1).tolist():
            texts[index] = _normalized(texts[index])
        offsets = _offsets(texts)
        codes = codes_of("".join(texts))
    keys = table[codes]
    places = np.flatnonzero(keys)
    return Keys(keys[places], np.searchsorted(places, offsets))


def _normalized(text: str) -> str:
    for one, several in _ELLIPSES.items():
        text = text.replace(one, several)
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def _offsets(texts: Sequence[str]) -> NDArray[np.int64]:
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets


def _exact_of(character: str) -> int:
    """Key of one character of a normalised text."""
    removed = unicodedata.category(character) in _REMOVED or ord(character) in _VARIATION_SELECTORS
    return 0 if removed else ord(character)


def _near_of(character: str) -> int:
    if unicodedata.category(character)[0] in "PS":
        return 0
    lower = character.lower()
    return _exact_of(lower if len(lower) == 1 else character)


def _masked(character: str) -> int | None:
    return ord("0") if unicodedata.category(character) == "Nd" else None


@cache
def _tables() -> _Tables:
    exact, exact_masked, near, near_masked = (np.arange(_CODE_POINTS, dtype=np.uint32) for _ in range(4))
    unsafe = np.zeros(_CODE_POINTS, dtype=np.bool_)
    joining = _joining()
    for first, last in _INTERESTING:
        for code in range(first, last + 1):
            whole = unicodedata.normalize("NFKC", chr(code))
            head = whole[0]
            unsafe[code] = len(whole) > 1 or unicodedata.combining(head) != 0 or head in joining
            # A character that becomes several never meets the tables as it is.
            character = chr(code) if len(whole) > 1 else whole
            exact[code] = _exact_of(character)
            near[code] = _near_of(character)
            exact_masked[code] = exact[code] if (mask := _masked(character)) is None else mask
            near_masked[code] = near[code] if mask is None else mask
    for table in (exact, exact_masked, near, near_masked, unsafe):
        table.flags.writeable = False
    return _Tables(exact, exact_masked, near, near_masked, unsafe)


def _joining() -> frozenset[str]:
    """Characters that NFKC may join with the one before: second halves of compositions, Hangul vowels and finals."""
    found = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for first, last in _INTERESTING:
        for code in range(first, last + 1):
            parts: Any = unicodedata.decomposition(chr(code)).split()
            if len(parts) == 2 and not parts[0].startswith("<"):
                found.add(chr(int(parts[1], 16)))
    return frozenset(found)
