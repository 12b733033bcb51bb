"""Positions: rotary tables, and what a document boundary does to positions and attention.

B batch, T positions, N heads, H head size, R rotated part of a head
"""

import torch
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, each [T, 1, R / 2] or [B, T, 1, R / 2]."""


def rotary_tables(positions: Tensor, rotary_dim: int, theta: float, dtype: torch.dtype) -> Rotary:
    """Cosines and sines of the angles position * theta^(-2i / R) (Su et al. 2021, equation 15).

    They are cheap enough to be computed once per forward pass, so that the model holds no buffer that a change of
    device or precision, an empty construction or a partitioned state could damage.

    Args:
        positions: integers, [T] or [B, T].
        dtype: the angles are computed in float32; only the cosines and sines are rounded to it.
    """
    # The reciprocal of the power, as transformers computes it: the other way round differs in the last bit, and at
    # position 1,000 that is a difference one can see in the logits.
    exponents = torch.arange(0, rotary_dim, 2, dtype=torch.float32, device=positions.device) / rotary_dim
    angles = positions[..., None, None].float() * (1.0 / theta**exponents)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x_BTNH: Tensor, rotary: Rotary) -> Tensor:
    """Rotate the first R dimensions of every head; dimension i turns with i + R / 2 (half-split order)."""
    cos, sin = rotary
    half = cos.shape[-1]
    first, second, rest = torch.split(x_BTNH, [half, half, x_BTNH.shape[-1] - 2 * half], dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


def document_positions(document_ids_BT: Tensor) -> Tensor:
    """Positions that restart at 0 with every document, [B, T]."""
    positions_T = torch.arange(document_ids_BT.shape[1], device=document_ids_BT.device)
    begins_BT = torch.ones_like(document_ids_BT, dtype=torch.bool)
    begins_BT[:, 1:] = document_ids_BT[:, 1:] != document_ids_BT[:, :-1]
    return positions_T - (positions_T * begins_BT).cummax(dim=1).values


def document_mask(document_ids_BT: Tensor) -> Tensor:
    """Who may be attended to, [B, 1, T, T] bool: earlier positions (and itself) of the same document."""
    same_BTT = document_ids_BT[:, :, None] == document_ids_BT[:, None, :]
    return same_BTT.tril().unsqueeze(1)
