"""Where flat ranges of boxes meet. Pure arithmetic: no torch, no files.

A stored fragment and a wanted piece are both a flat range of a box of a parameter. A flat range of a d-dimensional box
can always be cut into at most 2 d - 1 boxes, and where boxes meet, they meet in a box: a strided view of the one and of
the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

Index = tuple[int, ...]
Box = tuple[Index, Index]
"""Offset and shape."""


@dataclass(frozen=True)
class FlatRange:
    """Elements [start, stop) of the flattened box at `offset` of a parameter."""

    offset: Index
    shape: Index
    start: int
    stop: int

    def boxes(self) -> Iterator[Box]:
        """Disjoint boxes of the parameter that hold exactly these elements."""
        for offset, shape in _boxes(self.shape, self.start, self.stop):
            yield tuple(a + b for a, b in zip(self.offset, offset, strict=True)), shape

    @property
    def strides(self) -> Index:
        """Steps in the flat range per step along each dimension."""
        return tuple(prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))

    def position(self, index: Index) -> int:
        """Where in the flat range the element of the parameter at `index` stands."""
        inside = (i - o for i, o in zip(index, self.offset, strict=True))
        return sum(i * stride for i, stride in zip(inside, self.strides, strict=True)) - self.start


def common_boxes(one: FlatRange, other: FlatRange) -> Iterator[Box]:
    """Disjoint boxes of the parameter that hold exactly the elements of both."""
    if _intersection((one.offset, one.shape), (other.offset, other.shape)) is None:
        return
    others = list(other.boxes())
    for box in one.boxes():
        for found in (_intersection(box, candidate) for candidate in others):
            if found is not None:
                yield found


def cover_problem(shape: Index, ranges: Sequence[FlatRange]) -> str | None:
    """Why `ranges` are not every element of a parameter of this shape exactly once; None if they are.

    Their boxes must tile the parameter, and the ranges of each box must abut: what one layout writes always does.
    """
    by_box: dict[Box, list[FlatRange]] = {}
    for part in ranges:
        by_box.setdefault((part.offset, part.shape), []).append(part)
    for (offset, box_shape), parts in by_box.items():
        place = f"the box of {list(box_shape)} at {list(offset)}"
        position = 0
        for part in sorted(parts, key=lambda part: (part.start, part.stop)):
            if part.start != position:
                if part.start > position:
                    return f"elements [{position}, {part.start}) of {place} are missing"
                return f"elements [{part.start}, {min(position, part.stop)}) of {place} are stored twice"
            position = part.stop
        if position != prod(box_shape):
            return f"elements [{position}, {prod(box_shape)}) of {place} are missing"
    for one, other in combinations(by_box, 2):
        if (both := _intersection(one, other)) is not None:
            return f"the box of {list(both[1])} at {list(both[0])} is stored twice"
    stored = sum(prod(box_shape) for _, box_shape in by_box)
    if stored != prod(shape):
        return f"{stored} of {prod(shape)} elements are stored"
    return None


def _boxes(shape: Index, start: int, stop: int) -> Iterator[Box]:
    if start >= stop:
        return
    if not shape:
        yield (), ()
        return
    row = prod(shape[1:])
    whole_from, whole_to = -(-start // row), stop // row
    if whole_from > whole_to:
        yield from _in_row(shape, whole_to, start, stop)
        return
    yield from _in_row(shape, whole_from - 1, start, whole_from * row)
    if whole_from < whole_to:
        yield (whole_from, *(0 for _ in shape[1:])), (whole_to - whole_from, *shape[1:])
    yield from _in_row(shape, whole_to, whole_to * row, stop)


def _in_row(shape: Index, row: int, start: int, stop: int) -> Iterator[Box]:
    first = row * prod(shape[1:])
    for offset, size in _boxes(shape[1:], start - first, stop - first):
        yield (row, *offset), (1, *size)


def _intersection(one: Box, other: Box) -> Box | None:
    offset = tuple(max(a, b) for a, b in zip(one[0], other[0], strict=True))
    ends = (min(a + m, b + n) for a, m, b, n in zip(*one, *other, strict=True))
    shape = tuple(end - begin for begin, end in zip(offset, ends, strict=True))
    return (offset, shape) if all(size > 0 for size in shape) else None
