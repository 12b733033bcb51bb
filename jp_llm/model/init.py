"""Initial weights: a function of (seed, canonical parameter name), whatever the layout or number of processes.

Normal(0, initializer_range); projections back into the residual stream are divided by sqrt(2 layers), because each
layer adds two of them (Radford et al. 2019, section 2.3); norms are 1, biases and padding rows of the vocabulary 0.
"""

import hashlib
import math

import torch
from torch import Tensor, nn

from jp_llm.config.model import ModelConfig
from jp_llm.model.decoder import Decoder
from jp_llm.parallel.slices import Slice

_RESIDUAL_PROJECTIONS = ("attention.o.weight", "mlp.down.weight")
_VOCABULARY = ("embedding.weight", "head.weight")


@torch.no_grad()
def initialize(decoder: Decoder, config: ModelConfig, seed: int) -> None:
    """Fill every parameter of `decoder` in place. The parameters must be whole: see `initial_values` otherwise."""
    parameters: dict[str, nn.Parameter] = dict(decoder.named_parameters())
    for name, pieces in decoder.slices().items():
        values = torch.cat([initial_values(piece, config, seed).flatten() for piece in pieces])
        parameters[name].copy_(values.view_as(parameters[name]))


def initial_values(piece: Slice, config: ModelConfig, seed: int) -> Tensor:
    """Initial float32 values of one slice, on the CPU. The whole canonical parameter is drawn for it, then cut."""
    return _whole_parameter(piece.name, piece.whole, config, seed)[piece.index]


def _whole_parameter(name: str, shape: tuple[int, ...], config: ModelConfig, seed: int) -> Tensor:
    if "norm" in name:
        return torch.ones(shape) if name.endswith(".weight") else torch.zeros(shape)
    if name.endswith(".bias"):
        return torch.zeros(shape)
    deviation = config.initializer_range
    if name.endswith(_RESIDUAL_PROJECTIONS):
        deviation /= math.sqrt(2 * config.num_layers)
    values = torch.zeros(shape)
    # The padding is not drawn, so that its size changes no other weight.
    drawn = values[: config.vocab_size] if name in _VOCABULARY else values
    drawn.normal_(0.0, deviation, generator=_generator(seed, name))
    return values


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
