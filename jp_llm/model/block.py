"""One layer of the decoder.

B batch, T positions, S positions of this rank (T / size of the tensor axis), D hidden
"""

from torch import Tensor, nn

from jp_llm.config.model import ModelConfig
from jp_llm.model.attention import Attention
from jp_llm.model.mlp import MLP
from jp_llm.model.norm import build_norm
from jp_llm.model.positions import Rotary
from jp_llm.parallel.collectives import gather_sequence, scatter_sequence
from jp_llm.parallel.tensor import TensorAxis


class Block(nn.Module):
    """Attention and MLP with the residual order of the architecture. It compiles as one graph.

    Norms and residual stream know the positions of this rank only (sequence parallelism, Korthikanti et al. 2022,
    section 4.2.2); attention and MLP work on all positions, each rank on its heads and inner dimensions.
    """

    def __init__(self, config: ModelConfig, axis: TensorAxis) -> None:
        super().__init__()
        self.axis = axis
        self.residual = config.spec.residual
        self.attention_norm = build_norm(config.spec, config.hidden_size, config.norm_eps)
        self.attention = Attention(config, axis)
        if self.residual != "parallel_one_norm":
            self.mlp_norm = build_norm(config.spec, config.hidden_size, config.norm_eps)
        self.mlp = MLP(config, axis)

    def forward(self, x_BSD: Tensor, rotary: Rotary | None = None, mask: Tensor | None = None) -> Tensor:
        """[B, S, D] -> [B, S, D]; `rotary` and `mask` of all positions, as in `Attention`."""
        normed_BTD = gather_sequence(self.attention_norm(x_BSD), self.axis)
        attended_BTD = self.attention(normed_BTD, rotary, mask)
        if self.residual == "serial":
            x_BSD = x_BSD + scatter_sequence(attended_BTD, self.axis)
            added_BTD = self.mlp(gather_sequence(self.mlp_norm(x_BSD), self.axis))
        else:
            if self.residual == "parallel":
                normed_BTD = gather_sequence(self.mlp_norm(x_BSD), self.axis)
            added_BTD = self.mlp(normed_BTD)
            if self.axis.size == 1:
                x_BSD = x_BSD + attended_BTD
            else:  # both are summands over the ranks: one collective for their sum
                added_BTD = attended_BTD + added_BTD
        y_BSD: Tensor = x_BSD + scatter_sequence(added_BTD, self.axis)
        return y_BSD
