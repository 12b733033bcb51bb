"""Norms. Statistics and products are computed in float32 and rounded once, whatever the dtype of the activations.

B batch, T positions, N heads, H head size
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jp_llm.arch.spec import LayerSpec
from jp_llm.parallel.tensor import Share, TensorAxis


def build_norm(spec: LayerSpec, size: int, eps: float) -> nn.Module:
    """The norm of an architecture over the last dimension.

    layer_norm: Ba et al. 2016; layer_norm_without_bias: the same with a weight only (PaLM, section 2);
    rms_norm: Zhang & Sennrich 2019.
    """
    if spec.norm == "rms_norm":
        return nn.RMSNorm(size, eps=eps)
    return nn.LayerNorm(size, eps=eps, bias=spec.norm == "layer_norm")


class HeadNorm(nn.Module):
    """LayerNorm of every query and key head, one weight per head and no bias (Dehghani et al. 2023, section 2.1)."""

    def __init__(
        self, num_heads: int, head_dim: int, eps: float, *, axis: TensorAxis, parts: tuple[str, ...] = ()
    ) -> None:
        """`parts` and `shares` as in `jp_llm.model.linear`; the heads of every part are divided over the axis."""
        super().__init__()
        self.eps = eps
        self.parts = parts
        self.shares = {"weight": Share(0, axis.rank, axis.size)}
        self.weight = nn.Parameter(torch.ones(axis.divided(num_heads, "heads"), head_dim))

    def forward(self, x_BTNH: Tensor) -> Tensor:
        """[B, T, N, H] -> the same shape; N are the heads of this rank, weight is [N, H]."""
        normalised = F.layer_norm(x_BTNH.float(), x_BTNH.shape[-1:], eps=self.eps)
        return (normalised * self.weight).to(x_BTNH.dtype)
