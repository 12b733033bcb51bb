"""Linear layers and the embedding, divided over the tensor axis (Shoeybi et al. 2019, section 3).

A column layer takes the whole input and gives its part of the output; a row layer takes that part as its input and
gives a summand of the whole output. Parameters are empty until `jp_llm.model.init` fills them.

`parts` names the canonical matrices that are stacked in a weight (and bias), in order; they replace the name of the
module in the canonical parameter names. Empty means that the weight is canonical itself. `shares` says, for each
parameter that is divided, which share of its canonical parameters it holds.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jp_llm.parallel.tensor import Share, TensorAxis


class ColumnLinear(nn.Module):
    """`y = x W^T + b` with W [size_out, size_in], of which each rank holds some rows of every part.

    Raises:
        ValueError: the ranks do not divide size_out.
    """

    def __init__(
        self, size_in: int, size_out: int, *, axis: TensorAxis, bias: bool, parts: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.parts = parts
        self.shares = dict.fromkeys(("weight", "bias"), Share(0, axis.rank, axis.size))
        size_out = axis.divided(size_out, "outputs of a linear layer")
        self.weight = nn.Parameter(torch.empty(size_out, size_in))
        self.bias = nn.Parameter(torch.empty(size_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., size_in] -> [..., size_out / axis size]."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return " + ".join(self.parts)


class RowLinear(nn.Module):
    """`y = x W^T + b` with W [size_out, size_in], of which each rank holds some columns.

    Raises:
        ValueError: the ranks do not divide size_in.
    """

    def __init__(self, size_in: int, size_out: int, *, axis: TensorAxis, bias: bool) -> None:
        super().__init__()
        self.axis = axis
        self.shares = {"weight": Share(1, axis.rank, axis.size)}
        self.weight = nn.Parameter(torch.empty(size_out, axis.divided(size_in, "inputs of a linear layer")))
        self.bias = nn.Parameter(torch.empty(size_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., size_in / axis size] -> [..., size_out], to be summed over the axis."""
        if self.bias is None or self.axis.size == 1:
            return F.linear(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias / self.axis.size)


class VocabularyEmbedding(nn.Module):
    """One row per token id, [V, D], of which each rank holds some rows.

    Raises:
        ValueError: the ranks do not divide V.
    """

    def __init__(self, rows: int, size: int, *, axis: TensorAxis) -> None:
        super().__init__()
        self.axis = axis
        self.shares = {"weight": Share(0, axis.rank, axis.size)}
        self.rows = axis.divided(rows, "rows of the vocabulary")
        self.weight = nn.Parameter(torch.empty(self.rows, size))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids [...] -> [..., D], to be summed over the axis."""
        if self.axis.size == 1:
            return F.embedding(tokens, self.weight)
        # The remainder spreads the ids of other ranks, whose gradient is zero, over all rows.
        mine = tokens // self.rows == self.axis.rank
        return F.embedding(tokens % self.rows, self.weight) * mine.unsqueeze(-1)
