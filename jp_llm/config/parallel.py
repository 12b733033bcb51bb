"""`parallel`: how the model and its state are divided over processes."""

from typing import Literal

from pydantic import PositiveInt

from jp_llm.config.layout import Layout
from jp_llm.config.section import Section


class ParallelConfig(Section):
    """world_size = tensor x pipeline x data; the data-parallel size follows from the number of processes."""

    zero_stage: Literal[0, 1, 2, 3] = 1
    """DeepSpeed ZeRO: 0 nothing, 1 optimizer state, 2 and gradients, 3 and weights are divided over data parallel."""
    tensor: PositiveInt = 1
    """Tensor-parallel size: every layer is divided over so many processes, which should share a node."""
    pipeline: PositiveInt = 1
    """Pipeline stages: so many groups of processes hold consecutive layers."""
    virtual_stages: PositiveInt = 1
    """Parts of the model per pipeline stage; more than one interleaves them (smaller bubble, more traffic)."""
    gather: Literal["per_micro_batch", "per_step"] | None = None
    """ZeRO-3: how long a gathered weight stays. null takes per_micro_batch without a pipeline, else per_step."""
    reduce_precision: Literal["fp32", "bf16"] = "fp32"
    """In which gradients are summed over data parallel when train.precision is bf16; bf16 halves that traffic and
    loses digits, the more the more ranks there are."""
    offload_optimizer: bool = False
    """Keep fp32 weights and moments in host memory (ZeRO 1 to 3, pipeline 1)."""
    world_size: PositiveInt | None = None
    """Number of processes, for dry_run=true; a real run knows it from its launcher."""

    def problems(self) -> list[str]:
        found = []
        if self.gather is not None and self.zero_stage != 3:
            found.append(
                f"gather: {self.gather} says how ZeRO-3 gathers weights, but parallel.zero_stage is "
                f"{self.zero_stage}; leave it null or set parallel.zero_stage=3"
            )
        if self.offload_optimizer and self.zero_stage == 0:
            found.append("offload_optimizer: ZeRO-0 cannot offload; set parallel.zero_stage to 1, 2 or 3")
        return found

    def layout(self, world_size: int) -> Layout:
        """The layout over so many processes, which tensor x pipeline must divide."""
        return Layout(self.tensor, world_size // (self.tensor * self.pipeline), self.pipeline)

    @property
    def gather_policy(self) -> Literal["per_micro_batch", "per_step"]:
        """`gather` after defaults."""
        return self.gather or ("per_micro_batch" if self.pipeline == 1 else "per_step")
