"""Cross entropy of the next token, fused with the head: the logits of the whole batch never exist.

For each chunk of tokens the forward pass computes logits, losses and at once the gradients of hidden states and head
weight; the backward pass only scales them. So the head costs its three matrix products and nothing is recomputed.

Over a tensor axis each rank has the logits of its rows of the vocabulary only (Shoeybi et al. 2019, section 3).

N tokens (all of the batch), C tokens of one chunk, D hidden, V vocabulary (padded), R its rows on this rank
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jp_llm.config.data import IGNORED
from jp_llm.model.cross_entropy import divided_cross_entropy, whole_cross_entropy
from jp_llm.parallel.collectives import gather_last
from jp_llm.parallel.tensor import TensorAxis


def summed_loss(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    *,
    axis: TensorAxis = TensorAxis(),
    vocab_size: int,
    logit_scale: float = 1.0,
    z_loss: float = 0.0,
    chunk_tokens: int = 2048,
) -> tuple[Tensor, Tensor]:
    """Sums over all tokens of the cross entropy and of the z-loss.

    With logits = logit_scale * hidden head_weight^T over the first `vocab_size` rows and Z the sum of their
    exponentials, a token costs log Z - logit[target], and z_loss * (log Z)^2 (Chowdhery et al. 2022, section 5).

    Matrix products run in the dtype of `hidden`, the softmax and all sums in float32.

    Args:
        hidden: [..., D], the same on all ranks. Its gradient is a summand over the ranks (`gather_sequence` sums).
        head_weight: the rows [V / size, D] of this rank; of all, those from `vocab_size` on are padding: never
            predicted, gradient 0.
        targets: [...] token ids, or -100 where nothing is to be predicted; the same on all ranks.
        z_loss: coefficient; 0 switches the second sum off.
        chunk_tokens: tokens whose logits exist at the same time.

    Returns:
        loss_sum, z_loss_sum: float32 scalars, the same on all ranks. With z_loss above 0 only their sum can be
        differentiated.
    """
    if not torch.is_grad_enabled():  # inside the function this cannot be seen any more
        hidden, head_weight = hidden.detach(), head_weight.detach()
    sums: tuple[Tensor, Tensor] = _FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden.flatten(0, -2), head_weight, targets.flatten(), axis, vocab_size, logit_scale, z_loss, chunk_tokens
    )
    return sums


def whole_logits(
    hidden: Tensor, head_weight: Tensor, *, axis: TensorAxis = TensorAxis(), vocab_size: int, logit_scale: float = 1.0
) -> Tensor:
    """float32 logits [..., vocab_size], without the padding and the same on all ranks. For small inputs.

    Arguments as in `summed_loss`; over more than one rank it has no gradient.
    """
    if axis.size == 1:
        logits = torch.nn.functional.linear(hidden, head_weight[:vocab_size])
    else:
        logits = gather_last(torch.nn.functional.linear(hidden, head_weight), axis)[..., :vocab_size]
    return logits.float() * logit_scale


class _FusedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_RD: Tensor,
        targets_N: Tensor,
        axis: TensorAxis,
        vocab_size: int,
        logit_scale: float,
        z_loss: float,
        chunk_tokens: int,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        dtype = torch.promote_types(hidden_ND.dtype, torch.float32)
        num_tokens, num_rows = hidden_ND.shape[0], weight_RD.shape[0]
        used_rows = max(vocab_size - axis.rank * num_rows, 0)
        chunk_tokens = min(chunk_tokens, num_tokens)
        loss_sum, z_loss_sum = hidden_ND.new_zeros((), dtype=dtype), hidden_ND.new_zeros((), dtype=dtype)
        hidden_grad_ND = torch.empty_like(hidden_ND) if wants_hidden else None
        weight_grad_RD = torch.zeros_like(weight_RD, dtype=dtype) if wants_weight else None
        logits_buffer = hidden_ND.new_empty(chunk_tokens, num_rows)
        softmax_buffer = hidden_ND.new_empty(chunk_tokens, num_rows, dtype=dtype)

        for start in range(0, num_tokens, chunk_tokens):
            rows = slice(start, min(start + chunk_tokens, num_tokens))
            size = rows.stop - start
            # Scaling the input scales the logits, without another pass over them.
            hidden_CD = hidden_ND[rows] * logit_scale
            counted_C1 = (targets_N[rows] != IGNORED).unsqueeze(1)
            targets_C1 = targets_N[rows].unsqueeze(1) * counted_C1

            logits_CR = torch.mm(hidden_CD, weight_RD.t(), out=logits_buffer[:size])
            logits_CR[:, used_rows:] = -torch.inf
            if axis.size == 1:
                chunk = whole_cross_entropy(logits_CR, targets_C1, softmax_buffer[:size])
            else:
                chunk = divided_cross_entropy(logits_CR, targets_C1, softmax_buffer[:size], axis)
            loss_sum -= (chunk.target_log_softmax_C1 * counted_C1).sum()
            if z_loss:
                z_loss_sum += z_loss * (chunk.log_z_C1.square() * counted_C1).sum()
            if not (wants_hidden or wants_weight):
                continue

            logits_grad_CR = chunk.softmax_CR()
            if z_loss:
                logits_grad_CR *= 1 + 2 * z_loss * chunk.log_z_C1
            logits_grad_CR.scatter_add_(1, chunk.rows_C1, -chunk.has_target_C1.to(dtype))
            logits_grad_CR = logits_grad_CR.to(hidden_ND.dtype)
            if hidden_grad_ND is not None:
                torch.mm(logits_grad_CR, weight_RD, out=hidden_grad_ND[rows])
                hidden_grad_ND[rows].mul_(counted_C1).mul_(logit_scale)
            if weight_grad_RD is not None:
                _add_product(weight_grad_RD, logits_grad_CR.t(), hidden_CD * counted_C1)

        ctx.save_for_backward(hidden_grad_ND, weight_grad_RD)
        ctx.dtypes = hidden_ND.dtype, weight_RD.dtype
        ctx.has_z_loss = bool(z_loss)
        ctx.set_materialize_grads(False)
        return loss_sum, z_loss_sum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_grad: Tensor | None, z_loss_grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if loss_grad is None or (ctx.has_z_loss and z_loss_grad is None):
            raise RuntimeError("differentiate loss_sum + z_loss_sum: their gradients are computed together")
        scaled = [
            None if grad is None else torch.mul(grad, loss_grad, out=torch.empty_like(grad, dtype=dtype))
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*scaled, *[None] * 6)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, in place; total may be of higher precision."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
