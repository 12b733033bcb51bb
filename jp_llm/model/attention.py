"""Causal self-attention with fused query, key and value projections.

B batch, T positions, D hidden, N query heads, K key/value heads (both of this rank), H head size
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jp_llm.config.model import ModelConfig
from jp_llm.model.linear import ColumnLinear, RowLinear
from jp_llm.model.norm import HeadNorm
from jp_llm.model.positions import Rotary, rotate
from jp_llm.parallel.tensor import TensorAxis


class Attention(nn.Module):
    """softmax(q k^T / sqrt(H)) v per head; query head n reads key/value head n // (N / K) (Ainslie et al. 2023).

    Each rank computes its heads over all positions. With fewer key/value heads than ranks, neighbouring ranks hold
    the same one, in parameters of their own.

    Raises:
        ValueError: the ranks do not divide the query heads, or the key/value heads neither divide the ranks nor the
            ranks them.
    """

    def __init__(self, config: ModelConfig, axis: TensorAxis) -> None:
        super().__init__()
        all_heads, all_key_value_heads = config.num_attention_heads, config.key_value_heads
        hidden, bias, eps = config.hidden_size, config.spec.bias, config.norm_eps
        self.head_dim = config.head_dim
        self.num_heads = axis.divided(all_heads, "attention heads")
        self.shares_heads = all_key_value_heads < axis.size and axis.size % all_key_value_heads == 0
        if self.shares_heads:
            self.num_key_value_heads = 1
            # As if there were so many ranks only.
            shared = TensorAxis(axis.rank * all_key_value_heads // axis.size, all_key_value_heads)
            self.q = ColumnLinear(hidden, all_heads * self.head_dim, axis=axis, bias=bias)
            self.kv = ColumnLinear(
                hidden, 2 * all_key_value_heads * self.head_dim, axis=shared, bias=bias, parts=("k", "v")
            )
            self.q_norm = HeadNorm(all_heads, self.head_dim, eps, axis=axis) if config.qk_norm else None
            self.k_norm = HeadNorm(all_key_value_heads, self.head_dim, eps, axis=shared) if config.qk_norm else None
        else:
            self.num_key_value_heads = axis.divided(all_key_value_heads, "key/value heads")
            self.qkv = ColumnLinear(
                hidden,
                (all_heads + 2 * all_key_value_heads) * self.head_dim,
                axis=axis,
                bias=bias,
                parts=("q", "k", "v"),
            )
            self.qk_norm = (
                HeadNorm(all_heads + all_key_value_heads, self.head_dim, eps, axis=axis, parts=("q_norm", "k_norm"))
                if config.qk_norm
                else None
            )
        self.o = RowLinear(all_heads * self.head_dim, hidden, axis=axis, bias=bias)

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Tensor:
        """
        Args:
            rotary: tables of `rotary_tables`, or None with learned positions.
            mask: [B, 1, T, T] bool of `document_mask`, or None for plain causal attention.

        Returns:
            [B, T, D], to be summed over the axis.
        """
        N, K = self.num_heads, self.num_key_value_heads
        if self.shares_heads:
            q_BTNH = _placed(self.q(x_BTD).unflatten(-1, (N, self.head_dim)), self.q_norm, rotary)
            k_BTKH, v_BTKH = self.kv(x_BTD).unflatten(-1, (2 * K, self.head_dim)).split([K, K], dim=2)
            k_BTKH = _placed(k_BTKH, self.k_norm, rotary)
        else:
            qkv_BTNH = self.qkv(x_BTD).unflatten(-1, (N + 2 * K, self.head_dim))
            qk_BTNH, v_BTKH = qkv_BTNH.split([N + K, K], dim=2)
            q_BTNH, k_BTKH = torch.split(_placed(qk_BTNH, self.qk_norm, rotary), [N, K], dim=2)
        q_BNTH, k_BKTH, v_BKTH = q_BTNH.transpose(1, 2), k_BTKH.transpose(1, 2), v_BTKH.transpose(1, 2)
        if mask is not None:
            # The GPU kernel that takes a mask knows no grouped heads; without this every score would be stored.
            k_BKTH, v_BKTH = _repeat_heads(k_BKTH, N // K), _repeat_heads(v_BKTH, N // K)
        out_BNTH = F.scaled_dot_product_attention(
            q_BNTH, k_BKTH, v_BKTH, attn_mask=mask, is_causal=mask is None, enable_gqa=mask is None and K < N
        )
        out: Tensor = self.o(out_BNTH.transpose(1, 2).flatten(2))
        return out


def _placed(x_BTNH: Tensor, norm: HeadNorm | None, rotary: Rotary | None) -> Tensor:
    """Normalised and rotated, where the model does so."""
    if norm is not None:
        x_BTNH = norm(x_BTNH)
    return x_BTNH if rotary is None else rotate(x_BTNH, rotary)


def _repeat_heads(x_BKTH: Tensor, times: int) -> Tensor:
    return x_BKTH if times == 1 else x_BKTH.repeat_interleave(times, dim=1)
