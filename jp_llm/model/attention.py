"""Causal self-attention with fused query, key and value projections.

B batch, T positions, D hidden, N query heads, K key/value heads, H head size
"""

import torch.nn.functional as F
from torch import Tensor, nn

from jp_llm.config.model import ModelConfig
from jp_llm.model.linear import Linear
from jp_llm.model.norm import HeadNorm
from jp_llm.model.positions import Rotary, rotate


class Attention(nn.Module):
    """softmax(q k^T / sqrt(H)) v per head; query head n reads key/value head n // (N / K) (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.num_key_value_heads = config.key_value_heads
        self.head_dim = config.head_dim
        heads, bias = self.num_heads + 2 * self.num_key_value_heads, config.spec.bias
        self.qkv = Linear(config.hidden_size, heads * self.head_dim, bias=bias, parts=("q", "k", "v"))
        self.qk_norm = (
            HeadNorm(self.num_heads + self.num_key_value_heads, self.head_dim, config.norm_eps)
            if config.qk_norm
            else None
        )
        self.o = Linear(self.num_heads * self.head_dim, config.hidden_size, bias=bias)

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Tensor:
        """
        Args:
            rotary: tables of `rotary_tables`, or None with learned positions.
            mask: [B, 1, T, T] bool of `document_mask`, or None for plain causal attention.

        Returns:
            [B, T, D].
        """
        N, K = self.num_heads, self.num_key_value_heads
        qkv_BTNH = self.qkv(x_BTD).unflatten(-1, (N + 2 * K, self.head_dim))
        qk_BTNH, v_BTKH = qkv_BTNH.split([N + K, K], dim=2)
        if self.qk_norm is not None:
            qk_BTNH = self.qk_norm(qk_BTNH)
        if rotary is not None:
            qk_BTNH = rotate(qk_BTNH, rotary)
        q_BTNH, k_BTKH = qk_BTNH.split([N, K], dim=2)
        q_BNTH, k_BKTH, v_BKTH = q_BTNH.transpose(1, 2), k_BTKH.transpose(1, 2), v_BTKH.transpose(1, 2)
        if mask is not None:
            # The GPU kernel that takes a mask knows no grouped heads; without this every score would be stored.
            k_BKTH, v_BKTH = _repeat_heads(k_BKTH, N // K), _repeat_heads(v_BKTH, N // K)
        out_BNTH = F.scaled_dot_product_attention(
            q_BNTH, k_BKTH, v_BKTH, attn_mask=mask, is_causal=mask is None, enable_gqa=mask is None and K < N
        )
        out: Tensor = self.o(out_BNTH.transpose(1, 2).flatten(2))
        return out


def _repeat_heads(x_BKTH: Tensor, times: int) -> Tensor:
    return x_BKTH if times == 1 else x_BKTH.repeat_interleave(times, dim=1)
