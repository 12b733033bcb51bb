"""Where the parameters of a finished model are read from, and a decoder in memory that is filled with them.

Everything here is on one machine and in float32. What reads checkpoints (`jp_llm/checkpoint/reader.py`) or Hugging Face
folders (`jp_llm/huggingface/reader.py`) is a `ParameterSource` as it is.
"""

from collections.abc import Collection
from typing import Protocol

import torch
from torch import Tensor

from jp_llm.config.model import ModelConfig
from jp_llm.model.decoder import Decoder


class ParameterSource(Protocol):
    """Canonical parameters by name, one at a time."""

    @property
    def names(self) -> Collection[str]:
        """Names of all parameters (`jp_llm.arch.parameters.parameter_shapes`)."""
        ...

    def read(self, name: str) -> Tensor:
        """The whole parameter in float32 on the CPU."""
        ...


@torch.no_grad()
def load_native(source: ParameterSource, config: ModelConfig) -> Decoder:
    """A decoder on the CPU, in float32, with the parameters of `source`.

    Raises:
        ValueError: the source has other names than a decoder of these sizes.
    """
    decoder = Decoder(config).float()
    parameters = dict(decoder.named_parameters())
    slices = decoder.slices()
    wanted = {part.name for parts in slices.values() for part in parts}
    if wanted != set(source.names):
        raise ValueError(f"the parameters do not fit the model: {', '.join(sorted(wanted ^ set(source.names)))}")
    for key, parts in slices.items():
        values = torch.split(parameters[key].view(-1), [part.numel for part in parts])
        for part, value in zip(parts, values, strict=True):
            value.copy_(source.read(part.name)[part.index].reshape(-1))
    return decoder.eval()
