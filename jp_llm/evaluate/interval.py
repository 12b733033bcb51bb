"""How far a share of right answers may be off."""

import math
from collections.abc import Sequence

_Z = 1.959964
"""Of the normal distribution: 95 % lie within."""


def wilson(right: int, of: int) -> tuple[float, float]:
    """The interval that holds the true share with 95 % confidence, 0 to 1 (Wilson 1927); (0, 1) of nothing.

    Unlike the normal interval it does not shrink to a point where all answers are right or wrong.
    """
    if not of:
        return 0.0, 1.0
    return _wilson(right / of, of)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval of a mean of values between 0 and 1: Wilson's with the mean as share.

    No values between 0 and 1 with that mean vary more than right and wrong answers do, so it is never too narrow; and
    it does not shrink to a point where all are 0 or all are 1.
    """
    return _wilson(sum(values) / len(values), len(values)) if values else (0.0, 1.0)


def _wilson(share: float, of: int) -> tuple[float, float]:
    scale = 1 + _Z**2 / of
    middle = (share + _Z**2 / (2 * of)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    return max(0.0, middle - half), min(1.0, middle + half)
