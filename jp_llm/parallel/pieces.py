"""Flat ranges of canonical parameters: what ZeRO's flat partitions of fused, divided tensors come down to."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from jp_llm.parallel.slices import Slice


@dataclass(frozen=True)
class Piece:
    """Elements [start, stop) of the flattened slice `part`."""

    part: Slice
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.stop - self.start


def pieces_of(slices: Sequence[Slice], start: int, stop: int) -> list[Piece]:
    """Elements [start, stop) of a flattened tensor that is the concatenation of `slices`, in order."""
    found = []
    begin = 0
    for part in slices:
        end = begin + prod(part.shape)
        if start < end and stop > begin:
            found.append(Piece(part, max(start, begin) - begin, min(stop, end) - begin))
        begin = end
    if stop > begin:
        raise ValueError(f"range [{start}, {stop}) leaves a tensor of {begin} elements")
    return found
