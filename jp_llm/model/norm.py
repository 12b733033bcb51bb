"""Norms. Statistics and products are computed in float32 and rounded once, whatever the dtype of the activations.

B batch, T positions, N query heads, K key/value heads, H head size
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jp_llm.arch.spec import LayerSpec


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

    parts = ("q_norm", "k_norm")

    def __init__(self, num_heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_heads, head_dim))

    def forward(self, qk_BTNH: Tensor) -> Tensor:
        """[B, T, N + K, H] -> the same shape; weight is [N + K, H]."""
        normalised = F.layer_norm(qk_BTNH.float(), qk_BTNH.shape[-1:], eps=self.eps)
        return (normalised * self.weight).to(qk_BTNH.dtype)
