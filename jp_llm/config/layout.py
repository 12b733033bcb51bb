"""How ranks are laid out over tensor, data and pipeline parallelism. Pure arithmetic."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Coordinates(NamedTuple):
    """Place of one rank."""

    tensor: int
    data: int
    pipeline: int


@dataclass(frozen=True)
class Layout:
    """Sizes of the three axes. Tensor parallelism runs fastest, so that its ranks are neighbours in one node; the
    pipeline runs slowest, because it needs the least bandwidth.
    """

    tensor: int = 1
    data: int = 1
    pipeline: int = 1

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.tensor * self.data * self.pipeline

    def coordinates(self, rank: int) -> Coordinates:
        """Place of a rank."""
        rest, tensor = divmod(rank, self.tensor)
        pipeline, data = divmod(rest, self.data)
        return Coordinates(tensor, data, pipeline)

    def rank_of(self, tensor: int, data: int, pipeline: int) -> int:
        """The rank at a place."""
        return (pipeline * self.data + data) * self.tensor + tensor

    def __str__(self) -> str:
        return f"tensor {self.tensor} x data {self.data} x pipeline {self.pipeline}"

    def distance(self, tensor: int, pipeline: int) -> float:
        """How far this is from another tensor and pipeline size: 1 for each doubling or halving."""
        return abs(math.log2(self.tensor / tensor)) + abs(math.log2(self.pipeline / pipeline))


def layouts(world_size: int) -> Iterator[Layout]:
    """Every layout of so many ranks."""
    for tensor in _divisors(world_size):
        for pipeline in _divisors(world_size // tensor):
            yield Layout(tensor, world_size // (tensor * pipeline), pipeline)


def _divisors(number: int) -> list[int]:
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return sorted({*small, *(number // divisor for divisor in small)})
