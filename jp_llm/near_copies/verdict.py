"""From what a text has in common with the training text to a decision."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, PositiveInt

from jp_llm.config.section import Section
from jp_llm.near_copies.grams import SEED, STRIDE
from jp_llm.near_copies.index import Match, NearCopyIndex


class NearCopyLimits(Section):
    """When a text is too near to the training text. docs/near-copies.md says how often these values are wrong."""

    longest_run: int = Field(default=24, ge=SEED + STRIDE - 1)
    """A text with a common run of at least this many letters and digits is rejected; at least 11, because shorter runs
    may be missed."""
    containment: float = Field(default=0.25, gt=0, le=1)
    """A text is rejected if one passage of the training text holds at least this part of its 4-character grams ..."""
    shared_grams: PositiveInt = 20
    """... and these are at least this many: a short text shares a few with any."""


def verdict(match: Match, limits: NearCopyLimits) -> str | None:
    """The reason to reject a text, in words; None if it is accepted."""
    if match.longest_run >= limits.longest_run:
        return (
            f"a run of {match.longest_run} characters is in {match.run_source} "
            f"(rejected from {limits.longest_run}): {match.run_text}"
        )
    if match.containment >= limits.containment and match.shared_grams >= limits.shared_grams:
        return (
            f"{match.containment:.0%} of its 4-character grams ({match.shared_grams}) are in one passage of "
            f"{match.source} (rejected from {limits.containment:.0%}): {match.passage}"
        )
    return None


class NearCopyGuard:
    """One or several indexes, asked as one.

    Raises:
        UserError: a folder holds no index, or a damaged one.
    """

    def __init__(self, folders: Sequence[str], limits: NearCopyLimits) -> None:
        self._indexes = [NearCopyIndex.open(Path(folder)) for folder in folders]
        self._limits = limits

    def rejection(self, text: str) -> tuple[str, Match] | None:
        """The reason to reject a text, and its match in the first index that gives one; None if it is accepted."""
        for index in self._indexes:
            match = index.look_up(text)
            if (reason := verdict(match, self._limits)) is not None:
                return reason, match
        return None
