"""`parallel`: how the model and its state are divided over processes."""

from typing import Literal

from pydantic import PositiveInt

from jp_llm.config.section import Section


class ParallelConfig(Section):
    """world_size = tensor x pipeline x data; the data-parallel size follows from the number of processes."""

    zero_stage: Literal[0, 1, 2, 3] = 1
    """DeepSpeed ZeRO: 0 nothing, 1 optimizer state, 2 and gradients, 3 and weights are divided over data parallel."""
    tensor: PositiveInt = 1
    """Tensor-parallel size."""
    pipeline: PositiveInt = 1
    """Pipeline stages."""

    def problems(self) -> list[str]:
        return [
            f"{key}: {value} is not available yet; only 1 is (the weights can be divided with parallel.zero_stage=3)"
            for key, value in (("tensor", self.tensor), ("pipeline", self.pipeline))
            if value != 1
        ]
