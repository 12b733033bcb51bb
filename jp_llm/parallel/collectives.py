"""Differentiable collectives over the tensor axis, each the other's gradient (Korthikanti et al. 2022, section 4.2.2).

With axis size 1 they are the identity. On the meta device they give shapes and nobody communicates.

B batch, T positions, S positions of one rank (T / size), D hidden, V vocabulary
"""

from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.autograd.function import once_differentiable

from jp_llm.parallel.tensor import TensorAxis


def gather_sequence(x_BSD: Tensor, axis: TensorAxis) -> Tensor:
    """The positions of all ranks one after the other, [B, S, D] -> [B, T, D]; the gradient is summed and scattered."""
    if axis.size == 1:
        return x_BSD
    gathered_BTD: Tensor = _GatherSequence.apply(x_BSD, axis)  # type: ignore[no-untyped-call]
    return gathered_BTD


def scatter_sequence(x_BTD: Tensor, axis: TensorAxis) -> Tensor:
    """Sum over the ranks, of which each keeps its positions, [B, T, D] -> [B, S, D]; the gradient is gathered."""
    if axis.size == 1:
        return x_BTD
    scattered_BSD: Tensor = _ScatterSequence.apply(x_BTD, axis)  # type: ignore[no-untyped-call]
    return scattered_BSD


def gather_last(x: Tensor, axis: TensorAxis) -> Tensor:
    """The last dimensions of all ranks one after the other, [..., V / size] -> [..., V]; without a gradient."""
    if axis.size == 1:
        return x
    return _all_gather(x, axis).movedim(0, -2).flatten(-2)


class _GatherSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BSD: Tensor, axis: TensorAxis) -> Tensor:
        ctx.axis = axis
        return _gathered(x_BSD, axis)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTD: Tensor) -> tuple[Tensor, None]:
        return _scattered(grad_BTD, ctx.axis), None


class _ScatterSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, axis: TensorAxis) -> Tensor:
        ctx.axis = axis
        return _scattered(x_BTD, axis)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BSD: Tensor) -> tuple[Tensor, None]:
        return _gathered(grad_BSD, ctx.axis), None


# Collectives join and cut the first dimension. With one row the transpositions below copy nothing.


def _gathered(x_BSD: Tensor, axis: TensorAxis) -> Tensor:
    return _all_gather(x_BSD, axis).transpose(0, 1).flatten(1, 2)


def _scattered(x_BTD: Tensor, axis: TensorAxis) -> Tensor:
    B, T, D = x_BTD.shape
    parts = x_BTD.reshape(B, axis.size, T // axis.size, D).transpose(0, 1).contiguous()
    sum_BSD = torch.empty_like(parts[0])
    if not x_BTD.is_meta:
        torch.distributed.reduce_scatter_tensor(sum_BSD, parts.flatten(0, 1), group=axis.group)
    return sum_BSD


def _all_gather(x: Tensor, axis: TensorAxis) -> Tensor:
    """[...] -> [size, ...]."""
    gathered = x.new_empty(axis.size, *x.shape)
    if not x.is_meta:
        torch.distributed.all_gather_into_tensor(gathered.flatten(0, 1), x.contiguous(), group=axis.group)
    return gathered
