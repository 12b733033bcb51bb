"""Where the parameters of a finished model are read from: a checkpoint, or a decoder in memory; and back into one.

Everything here is on one machine and in float32. A checkpoint reader (`jp_llm/checkpoint/reader.py`) is a
`ParameterSource` as it is.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Protocol

import torch
from torch import Tensor

from jp_llm.config.model import ModelConfig
from jp_llm.model.decoder import Decoder
from jp_llm.parallel.slices import Slice


class ParameterSource(Protocol):
    """Canonical parameters by name, one at a time."""

    @property
    def names(self) -> Collection[str]:
        """Names of all parameters (`jp_llm.arch.parameters.parameter_shapes`)."""
        ...

    def read(self, name: str) -> Tensor:
        """The whole parameter in float32 on the CPU."""
        ...


class DecoderSource:
    """The parameters of a whole decoder in memory."""

    def __init__(self, decoder: Decoder) -> None:
        self._boxes: dict[str, list[tuple[Slice, Tensor]]] = defaultdict(list)
        parameters = dict(decoder.named_parameters())
        for key, parts in decoder.slices().items():
            values = torch.split(parameters[key].detach().reshape(-1), [part.numel for part in parts])
            for part, value in zip(parts, values, strict=True):
                self._boxes[part.name].append((part, value.view(part.shape)))

    @property
    def names(self) -> list[str]:
        """In the order of the module's parameters."""
        return list(self._boxes)

    def read(self, name: str) -> Tensor:
        """The boxes of a parameter, put together."""
        boxes = self._boxes[name]
        whole = torch.empty(boxes[0][0].whole, dtype=torch.float32)
        if sum(part.numel for part, _ in boxes) != whole.numel():
            raise ValueError(f"{name}: this decoder holds only a part of it")
        for part, value in boxes:
            whole[part.index].copy_(value)
        return whole


class RoundedSource:
    """The parameters of another source, rounded to `dtype` and back to float32: what a file of that type holds."""

    def __init__(self, source: ParameterSource, dtype: torch.dtype) -> None:
        self._source = source
        self._dtype = dtype

    @property
    def names(self) -> Collection[str]:
        """Those of the source."""
        return self._source.names

    def read(self, name: str) -> Tensor:
        """The rounded parameter."""
        return self._source.read(name).to(self._dtype).float()


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
