"""The weights that a module computes with, in contrast to the fp32 state that its optimizer steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from jp_llm.engine.zero import ZeroEngine


@dataclass(frozen=True)
class WorkingWeight:
    """A tensor of this process; where stage 3 has gathered a parameter, there are two of it."""

    parameter: str
    tensor: Tensor
    whole: bool
    """Otherwise the part that belongs to this rank of the data axis."""


def working_weights(zero: ZeroEngine) -> Iterator[WorkingWeight]:
    """In the same order on all processes of a pipeline stage; at stage 0 these are the fp32 state itself."""
    parameter: Any
    for name, parameter in zero.engine.module.named_parameters():
        if zero.zero_stage < 3:
            yield WorkingWeight(name, parameter.data, whole=True)
            continue
        part = parameter.ds_tensor.data
        start = len(part) * zero.grid.data_rank
        # The last part is as long as the others, and what is beyond the parameter is whatever was in memory.
        yield WorkingWeight(name, part[: max(0, parameter.ds_numel - start)], whole=False)
        # An empty tensor stands in for a parameter that is not gathered at the moment.
        if parameter.data.numel() == parameter.ds_numel:
            yield WorkingWeight(name, parameter.data, whole=True)
