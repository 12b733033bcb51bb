"""Which part of which whole parameter a tensor is. Pure arithmetic: no torch, no processes."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Slice:
    """A box of one canonical parameter (`jp_llm.arch.parameters`).

    A tensor of a run-time layout (fused, divided over processes) is described by a sequence of slices: their
    flattened contents, one after the other, are the flattened tensor.
    """

    name: str
    """Canonical name."""
    whole: tuple[int, ...]
    """Shape of the canonical parameter."""
    offset: tuple[int, ...]
    """Where the box starts in it."""
    shape: tuple[int, ...]
    """Shape of the box."""

    def __post_init__(self) -> None:
        if not len(self.whole) == len(self.offset) == len(self.shape):
            raise ValueError(f"{self.name}: whole, offset and shape differ in their number of dimensions")
        if any(
            start < 0 or size < 0 or start + size > whole
            for start, size, whole in zip(self.offset, self.shape, self.whole, strict=True)
        ):
            raise ValueError(f"{self.name}: a box of {self.shape} at {self.offset} is not inside {self.whole}")

    @property
    def numel(self) -> int:
        """Number of elements of the box."""
        return math.prod(self.shape)

    @property
    def index(self) -> tuple[slice, ...]:
        """`array[piece.index]` is the box, for an array or tensor of the whole parameter."""
        return tuple(slice(start, start + size) for start, size in zip(self.offset, self.shape, strict=True))


def whole_slice(name: str, shape: tuple[int, ...]) -> Slice:
    """The slice that is the whole parameter."""
    return Slice(name, whole=shape, offset=(0,) * len(shape), shape=shape)


@dataclass(frozen=True)
class Piece:
    """Elements [start, stop) of the flattened slice `part`: what flat partitions of fused tensors come down to."""

    part: Slice
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.stop - self.start


def flat_pieces(slices: Iterable[Slice], start: int, stop: int) -> Iterator[Piece]:
    """Elements [start, stop) of the flattened tensor that `slices` describe, in order; never empty pieces.

    What lies beyond the last slice (padding of a partition) is left out.
    """
    position = 0
    for part in slices:
        first, last = max(start - position, 0), min(stop - position, part.numel)
        if first < last:
            yield Piece(part, first, last)
        position += part.numel
