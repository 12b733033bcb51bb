"""Median and MAD against numpy, and what outliers do to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.guard.level import Level

VALUES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200)


@given(VALUES, st.floats(0, 0.2))
def test_the_level_is_that_of_numpy(values: list[float], floor: float) -> None:
    found = Level.of(values, floor)
    middle = np.median(values)
    assert found.median == pytest.approx(middle)
    mad = np.median(np.abs(np.array(values) - middle))
    assert found.sigma == pytest.approx(max(1.4826 * mad, floor * middle))


def test_of_normal_values_it_is_the_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(3.0, 0.2, 100_000).tolist()
    assert Level.of(values, 0.0).sigma == pytest.approx(0.2, rel=0.02)


@given(st.lists(st.floats(2.0, 3.0), min_size=65, max_size=128), st.floats(10.0, 1e30))
def test_an_accepted_outlier_hardly_moves_it(values: list[float], outlier: float) -> None:
    assert Level.of([*values, outlier], 0.005).limit(6) <= 3.0 + 6 * 1.4826
