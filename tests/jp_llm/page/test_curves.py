"""Curves of any length: what is drawn is small, and no spike is lost."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsed_html import ParsedHtml

from jp_llm.page.curves import BOTTOM, HEIGHT, LEFT, RIGHT, STRETCHES, TOP, WIDTH, Mark, Series, curves, short, thinned


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400), st.integers(2, 50))
def test_thinned_keeps_the_ends_the_least_and_the_largest(values: list[float], stretches: int) -> None:
    x, y = np.arange(len(values), dtype=np.float64), np.array(values)
    at, mean, low, high = thinned(x, y, stretches)
    assert len(at) == len(mean) == len(low) == len(high) <= max(stretches, min(len(values), stretches))
    assert (at[0], at[-1]) == (x[0], x[-1])
    assert (low.min(), high.max()) == (y.min(), y.max())
    assert (np.diff(at) > 0).all()
    slack = 1e-6 * np.abs(y).max()
    assert ((low - slack <= mean) & (mean <= high + slack)).all()


def test_a_million_points_make_a_small_picture_with_the_spike() -> None:
    y = np.ones(1_000_000)
    y[345_678] = 9.0
    page = curves("loss", [Series("a", np.arange(len(y), dtype=np.float64), y)], x_label="step")
    assert len(page) < 30_000
    band = next(values["d"] for tag, values in ParsedHtml(page).tags if values.get("class") == "band band0")
    assert band is not None
    heights = [float(pair.split()[1]) for pair in re.split("[MLZ]", band) if pair]
    assert min(heights) < TOP + 0.1 * HEIGHT < 0.8 * HEIGHT < max(heights)


def test_every_point_lies_inside_the_picture() -> None:
    x = np.arange(1, 400, dtype=np.float64)
    series = [Series("a", x, 1e-8 * np.exp(x / 20)), Series("b", x[:1], numbers(5.0), 1)]
    marks = [Mark(step, "skip", "S", f"at {step}", 4) for step in (0.0, 3.0, 3.1, 500.0)]
    parsed = ParsedHtml(curves("norm", series, x_label="step", marks=marks))
    places = [re.findall(r"[\d.]+ [\d.]+", values["d"] or "") for tag, values in parsed.tags if tag == "path"]
    for x_place, y_place in (map(float, point.split()) for path in places for point in path):
        assert LEFT <= x_place <= WIDTH - RIGHT
        assert TOP <= y_place <= HEIGHT - BOTTOM
    lines = [values for tag, values in parsed.tags if values.get("class") == "mark line4"]
    # Two that would stand on each other are one.
    assert len(lines) == 3
    assert "at 3.0 (and 1 more skip)" in parsed.text


def test_what_was_not_recorded_is_a_gap_and_a_branch_begins_anew() -> None:
    nan = np.nan
    page = curves("loss", [Series("", numbers(1, 2, 3, 4, 5, 4, 5), numbers(1, 2, nan, 4, 5, 4.5, 5))], x_label="step")
    path = next(values["d"] for tag, values in ParsedHtml(page).tags if values.get("class") == "line line0")
    assert path is not None
    assert path.count("M") == 3


def test_more_gaps_than_can_be_seen_make_no_large_picture() -> None:
    y = np.where(np.arange(100_000) % 2, np.nan, 1.0)
    assert len(curves("MFU", [Series("", np.arange(len(y), dtype=np.float64), y)], x_label="step")) < 30_000


def test_an_axis_from_zero_begins_there_and_what_is_constant_lies_inside() -> None:
    for value in (0.0, 0.4):
        page = curves("share", [Series("", numbers(1, 2), numbers(value, value))], x_label="step", from_zero=True)
        assert ">-" not in page
        path = next(values["d"] for tag, values in ParsedHtml(page).tags if values.get("class") == "line line0")
        assert path is not None
        assert TOP < float(path.split()[-1]) <= HEIGHT - BOTTOM


@pytest.mark.parametrize("values", [(), (np.nan, np.nan)])
def test_nothing_is_said_in_words(values: tuple[float, ...]) -> None:
    found = curves("MFU", [Series("", np.arange(len(values), dtype=np.float64), numbers(*values))], x_label="step")
    assert "nothing was recorded" in found
    assert "<svg" not in found


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-300, 1e300, 5.0])
def test_a_single_value_has_a_place(value: float) -> None:
    page = curves("loss", [Series("", numbers(7), numbers(value))], x_label="step", from_zero=value == 5.0)
    assert "nan" not in page
    assert "<circle" in page


def test_numbers_of_an_axis() -> None:
    assert [short(value) for value in (0.0, 0.0005, 3e-05, 9999.0, 20_000.0, 1_500_000.0)] == [
        *("0", "0.0005", "3e-05", "9999", "20k", "1.5M"),
    ]
    assert STRETCHES < 400
