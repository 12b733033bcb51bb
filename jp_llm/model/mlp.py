"""Feed-forward networks.

B batch, T positions, D hidden, F intermediate
"""

import torch.nn.functional as F
from torch import Tensor, nn

from jp_llm.config.model import ModelConfig
from jp_llm.model.linear import ColumnLinear, RowLinear
from jp_llm.parallel.tensor import TensorAxis


class MLP(nn.Module):
    """down(gelu(up(x))), or down(silu(gate(x)) * up(x)) for swiglu (Shazeer 2020, equation 6).

    Each rank computes its part of F.

    Raises:
        ValueError: the ranks do not divide F.
    """

    def __init__(self, config: ModelConfig, axis: TensorAxis) -> None:
        super().__init__()
        spec, size = config.spec, config.mlp_size
        axis.divided(size, "inner dimensions of an MLP (intermediate_size)")
        self.kind = spec.mlp
        if self.kind == "swiglu":
            self.gate_up = ColumnLinear(config.hidden_size, 2 * size, axis=axis, bias=spec.bias, parts=("gate", "up"))
        else:
            self.up = ColumnLinear(config.hidden_size, size, axis=axis, bias=spec.bias)
        self.down = RowLinear(size, config.hidden_size, axis=axis, bias=spec.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D], to be summed over the axis."""
        if self.kind == "swiglu":
            gate_BTF, up_BTF = self.gate_up(x_BTD).chunk(2, dim=-1)
            inner_BTF = F.silu(gate_BTF) * up_BTF
        else:
            inner_BTF = F.gelu(self.up(x_BTD), approximate="tanh" if self.kind == "gelu_tanh" else "none")
        out: Tensor = self.down(inner_BTF)
        return out
