"""Flat ranges of boxes against sets of indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.checkpoint.boxes import Box, FlatRange, common_boxes, cover_problem

WHOLES = st.lists(st.integers(1, 5), min_size=0, max_size=4).map(tuple)


@st.composite
def ranges_in(draw: st.DrawFn, whole: tuple[int, ...]) -> FlatRange:
    """Any range of any box."""
    ends = [sorted((draw(st.integers(0, size)), draw(st.integers(0, size)))) for size in whole]
    shape = tuple(stop - start for start, stop in ends)
    numel = int(np.prod(shape))
    start, stop = sorted((draw(st.integers(0, numel)), draw(st.integers(0, numel))))
    return FlatRange(tuple(start for start, _ in ends), shape, start, stop)


def numbered(whole: tuple[int, ...]) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.arange(int(np.prod(whole))).reshape(whole)


def elements(whole: tuple[int, ...], part: FlatRange) -> list[int]:
    """Numbers of the elements of a range, in its order."""
    box = numbered(whole)[tuple(slice(o, o + n) for o, n in zip(part.offset, part.shape, strict=True))]
    return [int(number) for number in box.reshape(-1)[part.start : part.stop]]


def inside(whole: tuple[int, ...], box: Box) -> list[int]:
    cut = numbered(whole)[tuple(slice(o, o + n) for o, n in zip(*box, strict=True))]
    return [int(number) for number in cut.reshape(-1)]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), whole=WHOLES)
def test_a_range_is_cut_into_few_boxes_in_its_order(data: st.DataObject, whole: tuple[int, ...]) -> None:
    part = data.draw(ranges_in(whole))
    boxes = list(part.boxes())
    assert [number for box in boxes for number in inside(whole, box)] == elements(whole, part)
    assert len(boxes) <= max(1, 2 * len(whole) - 1)
    for position, (offset, _) in enumerate(boxes):
        before = sum(len(inside(whole, box)) for box in boxes[:position])
        assert part.position(offset) == before


@settings(max_examples=300, deadline=None)
@given(data=st.data(), whole=WHOLES)
def test_common_boxes_hold_what_both_ranges_hold_once(data: st.DataObject, whole: tuple[int, ...]) -> None:
    one, other = data.draw(ranges_in(whole)), data.draw(ranges_in(whole))
    found = [number for box in common_boxes(one, other) for number in inside(whole, box)]
    assert sorted(found) == sorted(set(elements(whole, one)) & set(elements(whole, other)))


def row_ranges(*cuts: tuple[int, int, int, int]) -> list[FlatRange]:
    """Ranges of boxes of rows of a [4, 3] parameter: (first row, last row, start, stop)."""
    return [FlatRange((first, 0), (last - first, 3), start, stop) for first, last, start, stop in cuts]


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        (row_ranges((0, 2, 0, 4), (2, 4, 0, 6), (0, 2, 4, 6)), None),
        (row_ranges((0, 2, 0, 4), (2, 4, 0, 6)), "elements [4, 6) of the box of [2, 3] at [0, 0] are missing"),
        # A hole and an overlap of the same size: the sum is right.
        (row_ranges((0, 4, 0, 5), (0, 4, 4, 11)), "elements [4, 5) of the box of [4, 3] at [0, 0] are stored twice"),
        (row_ranges((0, 4, 0, 5), (0, 4, 6, 12)), "elements [5, 6) of the box of [4, 3] at [0, 0] are missing"),
        (row_ranges((0, 2, 0, 6), (1, 3, 0, 6)), "the box of [1, 3] at [1, 0] is stored twice"),
        (row_ranges((0, 3, 0, 9)), "9 of 12 elements are stored"),
        ([], "0 of 12 elements are stored"),
    ],
)
def test_holes_and_overlaps_are_named(ranges: list[FlatRange], problem: str | None) -> None:
    assert cover_problem((4, 3), ranges) == problem


@settings(max_examples=300, deadline=None)
@given(data=st.data(), whole=WHOLES.filter(lambda whole: np.prod(whole) <= 24))
def test_whatever_passes_as_a_cover_is_one(data: st.DataObject, whole: tuple[int, ...]) -> None:
    ranges = data.draw(st.lists(ranges_in(whole), max_size=4))
    if cover_problem(whole, ranges) is None:
        stored = sorted(number for part in ranges for number in elements(whole, part))
        assert stored == list(range(int(np.prod(whole))))
