"""Intervals against published values and by simulation."""

import random

import pytest

from jp_llm.evaluate.interval import mean_interval, wilson


def test_wilson_at_known_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 15 of 148 and 0 of 20, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_interval_of_a_mean_holds_the_mean_at_least_95_times_of_100() -> None:
    chance = random.Random(0)
    held = 0
    for _ in range(500):
        low, high = mean_interval([chance.random() for _ in range(50)])
        held += low <= 0.5 <= high
    assert held / 500 > 0.95
    assert mean_interval([]) == (0.0, 1.0)
    assert mean_interval([0.0] * 20) == wilson(0, 20)
    assert mean_interval([1.0, 0.0, 1.0]) == wilson(2, 3)
