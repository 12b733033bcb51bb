"""How much a text repeats itself, and how varied several are. Works on tokens and on characters alike.
Both training, which watches its samples, and evaluation measure with it, so it is on the floor below them.

n-grams are runs of n neighbours inside one text.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

N_GRAM = 4
LONGEST_PERIOD = 13
MOST_REPEATS = 32
MOST_REPEATED = 0.5
SHORTEST_JUDGED = 16


@dataclass(frozen=True)
class Repetition:
    """Measured on the tokens of one completion."""

    length: int
    repeated_4grams: float
    """Share of its 4-grams that stand in it before (Welleck et al. 2020, section 6.1: seq-rep-4): 0 to 1."""
    repeats: int
    """How often in a row the same piece of 1 to 13 tokens stands there, at most (the filter of OLMo 2 counts 32)."""

    @classmethod
    def of(cls, ids: Sequence[Hashable]) -> "Repetition":
        """Of any sequence of tokens."""
        repeats = max((_repeats(ids, period) for period in range(1, LONGEST_PERIOD + 1)), default=0)
        return cls(len(ids), repeated_ngrams(ids, N_GRAM), repeats)

    @property
    def degenerate(self) -> bool:
        """More repetition than text."""
        if self.length < SHORTEST_JUDGED:
            return False
        return self.repeated_4grams > MOST_REPEATED or self.repeats >= MOST_REPEATS


def repeated_ngrams(sequence: Sequence[Hashable], n: int) -> float:
    """Share of the n-grams of one text that stand in it before: 1 - unique / all (Su et al. 2022, section 4: rep-n), 0
    to 1; 0 where there are none."""
    grams = ngrams(sequence, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct_ngrams(sequences: Iterable[Sequence[Hashable]], n: int) -> float | None:
    """Different n-grams of all texts together, divided by their number (Li et al. 2016: distinct-n), 0 to 1; None
    where there are none. More text has a smaller share of new n-grams, so compare equal amounts."""
    seen: set[tuple[Hashable, ...]] = set()
    count = 0
    for sequence in sequences:
        grams = ngrams(sequence, n)
        seen.update(grams)
        count += len(grams)
    return len(seen) / count if count else None


def ngrams(sequence: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    """Every run of n neighbours, in order."""
    return [tuple(sequence[start : start + n]) for start in range(len(sequence) - n + 1)]


def _repeats(ids: Sequence[Hashable], period: int) -> int:
    if len(ids) < period:
        return 0
    longest = run = 0
    for token, before in zip(ids[period:], ids, strict=False):
        run = run + 1 if token == before else 0
        longest = max(longest, run)
    return longest // period + 1
