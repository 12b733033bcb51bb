"""How far a share of right answers may be off."""

import math

_Z = 1.959964
"""Of the normal distribution: 95 % lie within."""


def wilson(right: int, of: int) -> tuple[float, float]:
    """The interval that holds the true share with 95 % confidence, 0 to 1 (Wilson 1927); (0, 1) of nothing.

    Unlike the normal interval it does not shrink to a point where all answers are right or wrong.
    """
    if not of:
        return 0.0, 1.0
    share, scale = right / of, 1 + _Z**2 / of
    middle = (share + _Z**2 / (2 * of)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_interval(values: list[float]) -> tuple[float, float]:
    """The interval of a mean of values between 0 and 1, with 95 % confidence (normal); (0, 1) of fewer than two."""
    if len(values) < 2:
        return 0.0, 1.0
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = _Z * math.sqrt(variance / len(values))
    return max(0.0, mean - half), min(1.0, mean + half)
