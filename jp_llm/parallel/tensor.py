"""Tensor parallelism as the layers of a model see it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from jp_llm.parallel.slices import Slice


@dataclass(frozen=True)
class TensorAxis:
    """The ranks over which the layers of a model are divided, and the place of this one among them.

    Size 1 is plain mathematics without communication. A larger axis without groups can build modules, and run
    them on the meta device for shapes, but not otherwise.
    """

    rank: int = 0
    size: int = 1
    group: ProcessGroup | None = None
    key_value_group: ProcessGroup | None = None
    """The ranks that hold the same key/value head, where there are fewer of these heads than ranks."""

    def divided(self, total: int, what: str) -> int:
        """total / size.

        Raises:
            ValueError: it is not whole; `what` says in the message what there are `total` of.
        """
        if total % self.size:
            raise ValueError(f"{total} {what} cannot be divided over {self.size} tensor-parallel ranks")
        return total // self.size


@dataclass(frozen=True)
class Share:
    """Part number `index` of `count` equal parts along dimension `dim` of a canonical parameter; by default all."""

    dim: int = 0
    index: int = 0
    count: int = 1

    def cut(self, name: str, whole: tuple[int, ...]) -> Slice:
        """The slice that this share is of a parameter."""
        size = whole[self.dim] // self.count
        before, after = whole[: self.dim], whole[self.dim + 1 :]
        offset = (*(0 for _ in before), self.index * size, *(0 for _ in after))
        return Slice(name, whole=whole, offset=offset, shape=(*before, size, *after))


@dataclass(frozen=True)
class Placement:
    """What a module parameter is, among the ranks of its tensor axis."""

    slices: tuple[Slice, ...]
    """The canonical pieces whose flattened contents, in order, are the flattened parameter."""
    owned: bool = True
    """Of the ranks that hold the same pieces, exactly one owns them: it counts them in norms and saves them."""
    gradient_group: ProcessGroup | None = None
    """The ranks over which the gradient is still to be summed: each of them sees a part of the tokens or heads."""


def placement(wholes: Iterable[tuple[str, tuple[int, ...]]], share: Share, axis: TensorAxis) -> Placement:
    """Placement of a parameter that holds the same share of every canonical parameter (name, shape) in `wholes`.

    Where there are fewer shares than ranks, neighbouring ranks hold the same one and the first of them owns it.
    """
    holders = axis.size // share.count
    group = axis.group if share.count == 1 else axis.key_value_group
    return Placement(
        slices=tuple(share.cut(name, whole) for name, whole in wholes),
        owned=axis.rank % holders == 0,
        gradient_group=group if holders > 1 else None,
    )


def sum_gradients(module: nn.Module, placements: Mapping[str, Placement]) -> None:
    """From now on, sum every gradient over its `gradient_group` as soon as it is computed, in every backward pass.

    Args:
        placements: by the names of `module.named_parameters()`.
    """
    for name, parameter in module.named_parameters():
        group = placements[name].gradient_group
        if group is not None:
            parameter.register_hook(partial(_summed, group))  # type: ignore[no-untyped-call]


def _summed(group: ProcessGroup, gradient: Tensor) -> Tensor:
    # A copy, because autograd may use the same tensor elsewhere; in float32, to be rounded once.
    total = gradient.to(
        torch.promote_types(gradient.dtype, torch.float32), copy=True, memory_format=torch.contiguous_format
    )
    torch.distributed.all_reduce(total, group=group)
    return total.to(gradient.dtype)
