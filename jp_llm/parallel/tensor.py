"""Tensor parallelism as the layers of a model see it."""

from dataclasses import dataclass

from torch.distributed import ProcessGroup

from jp_llm.parallel.slices import Slice


@dataclass(frozen=True)
class TensorAxis:
    """The ranks over which the layers of a model are divided, and the place of this one among them.

    Size 1 is plain mathematics without communication. A larger axis without groups can build modules (for shapes,
    on the meta device) but not run them.
    """

    rank: int = 0
    size: int = 1
    group: ProcessGroup | None = None
    key_value_group: ProcessGroup | None = None
    """The ranks that hold the same key/value head, where there are fewer of these heads than ranks."""


@dataclass(frozen=True)
class Placement:
    """What a module parameter is, among the ranks of its tensor axis."""

    slices: tuple[Slice, ...]
    """The canonical pieces whose flattened contents, in order, are the flattened parameter."""
    owned: bool = True
    """Of the ranks that hold the same pieces, exactly one owns them: it counts them in norms and saves them."""
    gradient_group: ProcessGroup | None = None
    """The ranks over which the gradient is still to be summed: each of them sees a part of the tokens or heads."""
