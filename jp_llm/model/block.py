"""One layer of the decoder.

B batch, T positions, D hidden
"""

from torch import Tensor, nn

from jp_llm.config.model import ModelConfig
from jp_llm.model.attention import Attention
from jp_llm.model.mlp import MLP
from jp_llm.model.norm import build_norm
from jp_llm.model.positions import Rotary


class Block(nn.Module):
    """Attention and MLP with the residual order of the architecture. It compiles as one graph."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.residual = config.spec.residual
        self.attention_norm = build_norm(config.spec, config.hidden_size, config.norm_eps)
        self.attention = Attention(config)
        if self.residual != "parallel_one_norm":
            self.mlp_norm = build_norm(config.spec, config.hidden_size, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, rotary: Rotary | None = None, mask: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]; `rotary` and `mask` as in `Attention`."""
        normed_BTD = self.attention_norm(x_BTD)
        y_BTD: Tensor = x_BTD + self.attention(normed_BTD, rotary, mask)
        if self.residual == "serial":
            normed_BTD = self.mlp_norm(y_BTD)
        elif self.residual == "parallel":
            normed_BTD = self.mlp_norm(x_BTD)
        y_BTD = y_BTD + self.mlp(normed_BTD)
        return y_BTD
