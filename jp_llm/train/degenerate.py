"""Whether the model repeats itself in its samples. Loads no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jp_llm.guard.guard import Guard

N_GRAM = 4
LONGEST_PERIOD = 13
MOST_REPEATS = 32
MOST_REPEATED = 0.5
SHORTEST_JUDGED = 16
UNTRAINED_SHARE = 0.1
"""Of all steps. A model that has learned little more than which tokens are frequent repeats them, and means nothing."""


@dataclass(frozen=True)
class Repetition:
    """Measured on the tokens of one completion."""

    length: int
    repeated_4grams: float
    """Share of its 4-grams that stand in it before (Welleck et al. 2020, section 6.1: seq-rep-4): 0 to 1."""
    repeats: int
    """How often in a row the same piece of 1 to 13 tokens stands there, at most (the filter of OLMo 2 counts 32)."""

    @classmethod
    def of(cls, ids: Sequence[int]) -> "Repetition":
        """Of any sequence of tokens."""
        grams = [tuple(ids[start : start + N_GRAM]) for start in range(len(ids) - N_GRAM + 1)]
        repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
        repeats = max((_repeats(ids, period) for period in range(1, LONGEST_PERIOD + 1)), default=0)
        return cls(len(ids), repeated, repeats)

    @property
    def degenerate(self) -> bool:
        """More repetition than text."""
        if self.length < SHORTEST_JUDGED:
            return False
        return self.repeated_4grams > MOST_REPEATED or self.repeats >= MOST_REPEATS


def _repeats(ids: Sequence[int], period: int) -> int:
    if len(ids) < period:
        return 0
    longest = run = 0
    for token, before in zip(ids[period:], ids, strict=False):
        run = run + 1 if token == before else 0
        longest = max(longest, run)
    return longest // period + 1


class Degeneration:
    """Looks at the samples of a run, one time after another."""

    def __init__(self, num_steps: int, guard: Guard) -> None:
        """
        Args:
            guard: remembers what was found last, in every checkpoint.
        """
        self._from_step = UNTRAINED_SHARE * num_steps
        self._guard = guard

    def look(self, step: int, found: Sequence[Repetition]) -> tuple[dict[str, Any], bool]:
        """A record of what was found, and whether to warn: most samples were degenerate, for the second time in a row.

        The first tenth of a run is only recorded.
        """
        degenerate = sum(each.degenerate for each in found)
        most = step > self._from_step and 2 * degenerate > len(found)
        warn, self._guard.degenerate = most and self._guard.degenerate, most
        record = {
            "kind": "repetition",
            "step": step,
            "repeated_4grams": sum(each.repeated_4grams for each in found) / len(found),
            "repeats": max(each.repeats for each in found),
            "degenerate_samples": degenerate / len(found),
        }
        return record, warn
