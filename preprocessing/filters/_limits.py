"""Kinds of limits, and what is wrong with two that belong together."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, PositiveInt

from preprocessing.step import Filter

SharesBySize = dict[PositiveInt, Annotated[float, Field(ge=0, le=1)]]
"""Size of n-grams -> a share."""


def crossed(step: Filter, minimum: str, maximum: str) -> list[str]:
    """A problem if the field `maximum` is below the field `minimum`: nothing could pass."""
    least, highest = getattr(step, minimum), getattr(step, maximum)
    if least is None or highest is None or highest >= least:
        return []
    return [f"{maximum}: {highest} is below {minimum} {least}"]


def without_limits(step: Filter, limits: Iterable[str]) -> list[str]:
    """A problem if none of these fields is set: the step would do nothing."""
    names = list(limits)
    if any(getattr(step, name) not in (None, {}) for name in names):
        return []
    return [f"{names[0]}: set at least one of {', '.join(names[:-1])} and {names[-1]}"]
