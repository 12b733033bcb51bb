"""Which documents get which defect: one in so many, at a place that the seed decides."""

from random import Random

ONE_IN = {
    "exact_duplicate": 50,
    "near_duplicate": 30,
    "mojibake": 150,
    "replacement_character": 200,
    "boilerplate": 10,
    "url": 16,
    "personal_data": 20,
    "not_personal_data": 20,
    "separated_dakuten": 50,
    "half_width_katakana": 50,
    "full_width_ascii": 50,
    "zero_width": 50,
    "lower_block": 150,
}
"""Defect -> one of how many web documents of a source has it. Every source has each kind among its first documents."""
_FIRST_AMONG = 24
"""The first of a kind comes among so many documents, so that a small corpus has all kinds."""


class Schedule:
    """A pure function of (seed, source, index of the document in the source)."""

    def __init__(self, seed: int, source: str) -> None:
        self._name = f"{seed}/{source}"
        self._places: dict[tuple[str, int], int] = {}

    def defects(self, index: int) -> list[str]:
        """Kinds of defects of a document, in the order of `ONE_IN`."""
        return [kind for kind, period in ONE_IN.items() if index == self._place(kind, index // period, period)]

    def _place(self, kind: str, block: int, period: int) -> int:
        key = kind, block
        if key not in self._places:
            width = period if block else min(period, _FIRST_AMONG)
            self._places[key] = block * period + Random(f"{self._name}/{kind}/{block}").randrange(width)
        return self._places[key]
