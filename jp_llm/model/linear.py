"""Linear layers whose weight may hold several canonical matrices, one below the other."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """`y = x W^T + b` with W [size_out, size_in]; the parameters are empty until `jp_llm.model.init` fills them.

    Args:
        parts: names of the canonical matrices that are stacked in W (and in b), in order; they replace the name of
            this module in the canonical parameter names. Empty means that W is canonical itself.
    """

    def __init__(self, size_in: int, size_out: int, *, bias: bool, parts: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.parts = parts
        self.weight = nn.Parameter(torch.empty(size_out, size_in))
        self.bias = nn.Parameter(torch.empty(size_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., size_in] -> [..., size_out]."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return " + ".join(self.parts)
