"""Finds texts of evaluation sets in documents, by their near keys.

How an item is recognised depends on the length of its key (most Japanese items are too short for long n-grams):

    40 and more     any 32 characters of it in a row
    13 to 39        the whole item
    6 to 12         the whole item, and an answer within 100 characters: marked only, it may be chance
    below 6         not at all

All are found through anchors: 13 characters of an item (6 of a short one), placed so that every 32 characters in a row
contain one. Hashes of all 13 characters in a row of a document are looked up in a bit field, those that are in it in a
dictionary, and what is around an anchor is compared character by character. (pyahocorasick takes five times as long: it
walks through the children of a node one by one, and the root has one for almost every kanji.)
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.decontaminate.benchmarks import Item, items_of
from preprocessing.text.characters import Codes, codes_of
from preprocessing.text.keys import near_keys

LONG, MIDDLE, SHORT = 40, 13, 6
RUN = 32
ANCHOR = 13
_STRIDE = RUN - ANCHOR + 1
ANSWER_NEAR, SHORT_ANSWER_NEAR = 200, 100
COMMON = 20
"""Anchors of more different items than this are fixed phrases of the set, not its content."""
_FIELD_PER_ANCHOR = 16
"""Bits per anchor: one place in 16 or more of a document passes by chance, and goes to the dictionary."""
_FACTOR = np.uint32(0x9E3779B1)
_POWERS = [np.uint32(pow(0x85EBCA6B, power, 1 << 32)) for power in range(5)]


@dataclass(frozen=True, slots=True)
class _Known:
    key: str
    name: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """An item, or part of it, in a near key."""

    item: int
    """Number of the item; equal texts are one item."""
    name: str
    start: int
    end: int
    answered: bool
    """An answer stands near by."""
    short: bool
    """So short that it may be chance."""


class BenchmarkIndex:
    """Recognises the items of some evaluation sets."""

    def __init__(self, items: Sequence[Item]) -> None:
        known: dict[str, _Known] = {}
        for item, key, answers in _keys(items):
            if len(key) >= SHORT and key not in known:
                known[key] = _Known(key, item.name, answers)
        self._items = [item for item in known.values() if len(item.key) >= MIDDLE or item.answers]
        frequencies = Counter(
            anchor
            for item in self._items
            for anchor in {item.key[place : place + ANCHOR] for place in range(len(item.key) - ANCHOR + 1)}
        )
        self._anchors = _Anchors(ANCHOR), _Anchors(SHORT)
        for number, ours in enumerate(self._items):
            self._anchors[len(ours.key) < MIDDLE].add(ours.key, number, _anchor_places(ours.key, frequencies))
        for anchors in self._anchors:
            anchors.finish()

    def __len__(self) -> int:
        """Items that can be recognised."""
        return len(self._items)

    def hits(self, codes: Codes, *, short: bool, every: bool = False) -> Iterator[Hit]:
        """Items in a near key; with `short` then also those that may be chance.

        Each at its first place, or, with `every`, wherever it stands: pieces of one item may then overlap.
        """
        key = ""
        ends: dict[int, int] = {}
        for anchors in self._anchors if short else self._anchors[:1]:
            for start, number, place in anchors.places(codes):
                # What lies in a place that is known says nothing new, and would cost a comparison.
                if number not in ends or (every and start + anchors.length > ends[number]):
                    key = key or _string(codes)
                    if hit := self._compared(key, start, number, place):
                        ends[number] = hit.end
                        yield hit

    def _compared(self, key: str, start: int, number: int, place: int) -> Hit | None:
        """What the anchor at `start`, the `place`-th character of an item, belongs to."""
        item = self._items[number]
        if len(item.key) >= LONG:
            if not key.startswith(item.key[place : place + ANCHOR], start):
                return None
            first, last = _run(key, start, item.key, place)
            if last - first < RUN:
                return None
            return Hit(number, item.name, first, last, self._answered(key, first, last, item, ANSWER_NEAR), False)
        first = start - place
        last = first + len(item.key)
        if first < 0 or not key.startswith(item.key, first):
            return None
        short = len(item.key) < MIDDLE
        answered = self._answered(key, first, last, item, SHORT_ANSWER_NEAR if short else ANSWER_NEAR)
        return None if short and not answered else Hit(number, item.name, first, last, answered, short)

    def _answered(self, key: str, first: int, last: int, item: _Known, distance: int) -> bool:
        before, after = key[max(first - distance, 0) : first], key[last : last + distance]
        return any(answer in before or answer in after for answer in item.answers)


class _Anchors:
    """Looks for anchors of one length."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._found: dict[int, list[tuple[int, int]]] = {}
        """Hash -> item, and place of the anchor in it."""
        self._bits: NDArray[np.bool_] = np.zeros(1, dtype=np.bool_)
        self._shift = np.uint32(0)

    def add(self, key: str, number: int, places: list[int]) -> None:
        """The anchors of an item."""
        hashes = _hashes(codes_of(key), self.length)
        for place in places:
            self._found.setdefault(int(hashes[place]), []).append((number, place))

    def finish(self) -> None:
        """After the last anchor."""
        size = max((_FIELD_PER_ANCHOR * len(self._found) - 1).bit_length(), 1)
        self._shift = np.uint32(32 - min(size, 24))
        self._bits = np.zeros(1 << min(size, 24), dtype=np.bool_)
        self._bits[np.array(list(self._found), dtype=np.uint32) >> self._shift] = True

    def places(self, codes: Codes) -> Iterator[tuple[int, int, int]]:
        """Place in the text, item, place in the item, where hashes agree."""
        if not self._found or len(codes) < self.length:
            return
        hashes = _hashes(codes, self.length)
        for start in np.flatnonzero(self._bits[hashes >> self._shift]).tolist():
            for number, place in self._found.get(int(hashes[start]), ()):
                yield start, number, place


def _hashes(codes: Codes, length: int) -> NDArray[np.uint32]:
    """Hash of every `length` characters in a row, ANCHOR or SHORT: polynomials modulo 2^32, by doubling."""
    one = codes * _FACTOR
    two = one[:-1] * _POWERS[1] + one[1:]
    four = two[:-2] * _POWERS[2] + two[2:]
    if length == SHORT:
        values = four[:-2] * _POWERS[2] + two[4:]
    else:
        eight = four[:-4] * _POWERS[4] + four[4:]
        twelve = eight[:-4] * _POWERS[4] + four[8:]
        values = twelve[:-1] * _POWERS[1] + one[12:]
    hashes: NDArray[np.uint32] = (values ^ values >> np.uint32(15)) * _FACTOR
    return hashes


def _keys(items: Sequence[Item]) -> Iterator[tuple[Item, str, tuple[str, ...]]]:
    """Each item with the near keys of its text and of its answers."""
    texts = near_keys([item.text for item in items])
    answers = near_keys([answer for item in items for answer in item.answers])
    number = 0
    for index, item in enumerate(items):
        ours = [_string(answers[place]) for place in range(number, number + len(item.answers))]
        number += len(item.answers)
        yield item, _string(texts[index]), tuple(key for key in ours if key)


def _string(codes: Codes) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def _anchor_places(key: str, frequencies: Counter[str]) -> list[int]:
    """Where the anchors of an item begin."""
    if len(key) < ANCHOR:
        return [0]
    if len(key) < LONG:
        # One is enough: the rarest, so that few items share it.
        return [min(range(len(key) - ANCHOR + 1), key=lambda place: frequencies[key[place : place + ANCHOR]])]
    places = [*range(0, len(key) - ANCHOR, _STRIDE), len(key) - ANCHOR]
    return [place for place in places if frequencies[key[place : place + ANCHOR]] <= COMMON]


def _run(key: str, start: int, item: str, place: int) -> tuple[int, int]:
    """The stretch of `key` around the anchor that agrees with `item`."""
    first, last = start, start + ANCHOR
    back = min(start, place)
    while back and key[first - 1] == item[place - (start - first) - 1]:
        first -= 1
        back -= 1
    ahead = min(len(key) - last, len(item) - place - ANCHOR)
    while ahead and key[last] == item[place + last - start]:
        last += 1
        ahead -= 1
    return first, last


@lru_cache(maxsize=4)
def load_index(paths: tuple[str, ...], fields: tuple[str, ...]) -> BenchmarkIndex:
    """The index of these files, made once per process.

    Raises:
        UserError: a file cannot be read, or is no evaluation set.
    """
    return BenchmarkIndex([item for path in paths for item in items_of(path, fields)])
