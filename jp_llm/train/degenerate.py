"""Whether the model repeats itself in its samples. Loads no torch."""

from collections.abc import Sequence
from typing import Any

from jp_llm.guard.guard import Guard
from jp_llm.texts.repetition import Repetition

UNTRAINED_SHARE = 0.1
"""Of all steps. A model that has learned little more than which tokens are frequent repeats them, and means nothing."""


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
