"""Other sources of parameters: a decoder in memory, and one whose numbers are rounded."""

from collections import defaultdict
from collections.abc import Collection

import torch
from torch import Tensor

from jp_llm.model.decoder import Decoder
from jp_llm.model.source import ParameterSource
from jp_llm.parallel.slices import Slice


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
