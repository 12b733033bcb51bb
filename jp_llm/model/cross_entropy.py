"""Softmax and log-likelihood of one chunk of tokens, over the whole vocabulary or over one rank's rows of it.

C tokens of the chunk, R rows of the vocabulary on this rank
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ReduceOp

from jp_llm.parallel.tensor import TensorAxis


class ChunkCrossEntropy(NamedTuple):
    """What losses and gradients of a chunk are made of. [C, 1] tensors but the last two are the same on all ranks."""

    target_log_softmax_C1: Tensor
    log_z_C1: Tensor
    """Logarithm of the sum of the exponentials of all logits."""
    rows_C1: Tensor
    """Row of this rank that is the target, or any."""
    has_target_C1: Tensor
    """bool: whether it is the target."""
    softmax_CR: Callable[[], Tensor]
    """Computes the probabilities of this rank's rows, in place of `buffer`; to be called once at most."""


def whole_cross_entropy(logits_CR: Tensor, targets_C1: Tensor, buffer_CR: Tensor) -> ChunkCrossEntropy:
    """The whole vocabulary on one rank. `buffer_CR` has the dtype in which the result is computed."""
    log_softmax_CR = torch.log_softmax(logits_CR, dim=1, dtype=buffer_CR.dtype, out=buffer_CR)
    target_log_softmax_C1 = log_softmax_CR.gather(1, targets_C1)
    return ChunkCrossEntropy(
        target_log_softmax_C1,
        log_z_C1=logits_CR.gather(1, targets_C1) - target_log_softmax_C1,
        rows_C1=targets_C1,
        has_target_C1=torch.ones_like(targets_C1, dtype=torch.bool),
        softmax_CR=log_softmax_CR.exp_,
    )


def divided_cross_entropy(
    logits_CR: Tensor, targets_C1: Tensor, buffer_CR: Tensor, axis: TensorAxis
) -> ChunkCrossEntropy:
    """Rank r has the logits of ids [r R, (r + 1) R); padding is -inf, and may be all that a rank has.

    Two all-reduces, of [C] and of [2 C] numbers.
    """
    num_rows = logits_CR.shape[1]
    has_target_C1 = targets_C1 // num_rows == axis.rank
    rows_C1 = targets_C1 % num_rows

    largest_C1 = logits_CR.amax(dim=1, keepdim=True).to(buffer_CR.dtype)
    torch.distributed.all_reduce(largest_C1, ReduceOp.MAX, group=axis.group)
    shifted_CR = torch.sub(logits_CR, largest_C1, out=buffer_CR)
    target_C1 = shifted_CR.gather(1, rows_C1).masked_fill(~has_target_C1, 0.0)
    exponentials_CR = shifted_CR.exp_()
    sums_2C1 = torch.stack((exponentials_CR.sum(dim=1, keepdim=True), target_C1))
    torch.distributed.all_reduce(sums_2C1, group=axis.group)
    sum_C1, target_C1 = sums_2C1
    log_sum_C1 = sum_C1.log()
    return ChunkCrossEntropy(
        target_C1 - log_sum_C1,
        log_z_C1=log_sum_C1 + largest_C1,
        rows_C1=rows_C1,
        has_target_C1=has_target_C1,
        softmax_CR=lambda: exponentials_CR.div_(sum_C1),
    )
