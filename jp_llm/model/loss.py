"""Cross entropy of the next token, fused with the head: the logits of the whole batch never exist.

For each chunk of tokens the forward pass computes logits, losses and at once the gradients of hidden states and head
weight; the backward pass only scales them. So the head costs its three matrix products and nothing is recomputed.

N tokens (all of the batch), C tokens of one chunk, D hidden, V vocabulary (padded)
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100
"""Targets with this value are not counted."""


def summed_loss(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    *,
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
        hidden: [..., D].
        head_weight: [V, D]; rows from `vocab_size` on are padding: never predicted, gradient 0.
        targets: [...] token ids, or -100 where nothing is to be predicted.
        z_loss: coefficient; 0 switches the second sum off.
        chunk_tokens: tokens whose logits exist at the same time.

    Returns:
        loss_sum, z_loss_sum: float32 scalars. With z_loss above 0 only their sum can be differentiated.
    """
    if not torch.is_grad_enabled():  # inside the function this cannot be seen any more
        hidden, head_weight = hidden.detach(), head_weight.detach()
    sums: tuple[Tensor, Tensor] = _FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden.flatten(0, -2), head_weight, targets.flatten(), vocab_size, logit_scale, z_loss, chunk_tokens
    )
    return sums


class _FusedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        vocab_size: int,
        logit_scale: float,
        z_loss: float,
        chunk_tokens: int,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        dtype = torch.promote_types(hidden_ND.dtype, torch.float32)
        num_tokens, num_rows = hidden_ND.shape[0], weight_VD.shape[0]
        chunk_tokens = min(chunk_tokens, num_tokens)
        loss_sum, z_loss_sum = hidden_ND.new_zeros((), dtype=dtype), hidden_ND.new_zeros((), dtype=dtype)
        hidden_grad_ND = torch.empty_like(hidden_ND) if wants_hidden else None
        weight_grad_VD = torch.zeros_like(weight_VD, dtype=dtype) if wants_weight else None
        logits_buffer = hidden_ND.new_empty(chunk_tokens, num_rows)
        log_softmax_buffer = hidden_ND.new_empty(chunk_tokens, num_rows, dtype=dtype)

        for start in range(0, num_tokens, chunk_tokens):
            rows = slice(start, min(start + chunk_tokens, num_tokens))
            size = rows.stop - start
            # Scaling the input scales the logits, without another pass over them.
            hidden_CD = hidden_ND[rows] * logit_scale
            counted_C1 = (targets_N[rows] != IGNORED).unsqueeze(1)
            targets_C1 = targets_N[rows].unsqueeze(1) * counted_C1

            logits_CV = torch.mm(hidden_CD, weight_VD.t(), out=logits_buffer[:size])
            logits_CV[:, vocab_size:] = -torch.inf
            log_softmax_CV = torch.log_softmax(logits_CV, dim=1, dtype=dtype, out=log_softmax_buffer[:size])
            target_log_softmax_C1 = log_softmax_CV.gather(1, targets_C1)
            loss_sum -= (target_log_softmax_C1 * counted_C1).sum()
            if z_loss:
                log_z_C1 = logits_CV.gather(1, targets_C1) - target_log_softmax_C1
                z_loss_sum += z_loss * (log_z_C1.square() * counted_C1).sum()
            if not (wants_hidden or wants_weight):
                continue

            softmax_CV = log_softmax_CV.exp_()
            if z_loss:
                softmax_CV *= 1 + 2 * z_loss * log_z_C1
            logits_grad_CV = softmax_CV.scatter_add_(1, targets_C1, softmax_CV.new_full(targets_C1.shape, -1.0))
            logits_grad_CV = logits_grad_CV.to(hidden_ND.dtype)
            if hidden_grad_ND is not None:
                torch.mm(logits_grad_CV, weight_VD, out=hidden_grad_ND[rows])
                hidden_grad_ND[rows].mul_(counted_C1).mul_(logit_scale)
            if weight_grad_VD is not None:
                _add_product(weight_grad_VD, logits_grad_CV.t(), hidden_CD * counted_C1)

        ctx.save_for_backward(hidden_grad_ND, weight_grad_VD)
        ctx.dtypes = hidden_ND.dtype, weight_VD.dtype
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
        return (*scaled, None, None, None, None, None)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, in place; total may be of higher precision."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
