"""Who works with whom: the process groups of a layout. It is also what DeepSpeed calls `mpu`."""

from collections.abc import Iterable
from datetime import timedelta

import torch.distributed
from torch.distributed import ProcessGroup

from jp_llm.config.layout import Layout
from jp_llm.parallel.channels import channels
from jp_llm.parallel.tensor import TensorAxis


class Grid:
    """The groups of this rank. Every process of the world makes the same grid at the same time.

    Args:
        key_value_heads: of the model; where they are fewer than the tensor-parallel ranks, some of these share one.
        virtual_stages: parts of the model that each pipeline stage holds.
        timeout: of every collective; torch's default if None.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        key_value_heads: int | None = None,
        virtual_stages: int = 1,
        timeout: timedelta | None = None,
    ) -> None:
        world_size = torch.distributed.get_world_size()
        if layout.world_size != world_size:
            raise ValueError(f"{layout} needs {layout.world_size} processes, there are {world_size}")
        self.layout = layout
        self.rank = torch.distributed.get_rank()
        self.tensor_rank, self.data_rank, self.pipeline_rank = layout.coordinates(self.rank)
        self._timeout = timeout
        tensor, data, pipeline = (range(size) for size in (layout.tensor, layout.data, layout.pipeline))
        rank_of = layout.rank_of
        self.tensor_group = self._group([rank_of(t, d, p) for t in tensor] for p in pipeline for d in data)
        self.data_group = self._group([rank_of(t, d, p) for d in data] for p in pipeline for t in tensor)
        # All ranks that hold one copy of the model between them.
        self.model_group = self._group([rank_of(t, d, p) for p in pipeline for t in tensor] for d in data)
        columns = [[rank_of(t, d, p) for p in pipeline] for d in data for t in tensor]
        self.pipeline_ranks = next(column for column in columns if self.rank in column)
        self.pipeline_group = self._group(columns)
        self.channels: dict[str, ProcessGroup] = {}
        if layout.pipeline > 1:
            self.channels = {name: self._group(columns) for name in channels(layout.pipeline, virtual_stages)}
        self.tensor_axis = TensorAxis(
            rank=self.tensor_rank,
            size=layout.tensor,
            group=self.tensor_group if layout.tensor > 1 else None,
            key_value_group=self._key_value_group(key_value_heads or layout.tensor),
        )

    @property
    def first_of_data(self) -> int:
        """The first rank of `data_group`."""
        return self.layout.rank_of(self.tensor_rank, 0, self.pipeline_rank)

    @property
    def is_last_stage(self) -> bool:
        """Whether the head stands here."""
        return self.pipeline_rank == self.layout.pipeline - 1

    def _group(self, groups: Iterable[list[int]]) -> ProcessGroup:
        """Every process makes all groups; this one keeps the one it is in."""
        own: ProcessGroup | None = None
        for ranks in groups:
            made = torch.distributed.new_group(ranks, timeout=self._timeout)
            if self.rank in ranks:
                own = made
        assert own is not None
        return own

    def _key_value_group(self, heads: int) -> ProcessGroup | None:
        layout = self.layout
        if heads >= layout.tensor:
            return None
        sharing = layout.tensor // heads
        return self._group(
            [layout.rank_of(first + t, d, p) for t in range(sharing)]
            for p in range(layout.pipeline)
            for d in range(layout.data)
            for first in range(0, layout.tensor, sharing)
        )

    # What DeepSpeed 0.19.8 asks of an `mpu`. Its "model parallel" group is tensor x pipeline, over which it sums norms;
    # its "model parallel" rank and size must nevertheless be those of tensor parallelism: stages 1 to 3 count a
    # parameter that is not divided only where that rank is 0, which must be the case once in every pipeline stage.

    def get_data_parallel_group(self) -> ProcessGroup:
        return self.data_group

    def get_data_parallel_rank(self) -> int:
        return self.data_rank

    def get_data_parallel_world_size(self) -> int:
        return self.layout.data

    def get_model_parallel_group(self) -> ProcessGroup:
        return self.model_group

    def get_model_parallel_rank(self) -> int:
        return self.tensor_rank

    def get_model_parallel_world_size(self) -> int:
        return self.layout.tensor

    def get_tensor_model_parallel_group(self) -> ProcessGroup:
        return self.tensor_group

    def get_tensor_model_parallel_rank(self) -> int:
        return self.tensor_rank

    def get_tensor_model_parallel_world_size(self) -> int:
        return self.layout.tensor

    def get_pipeline_model_parallel_world_size(self) -> int:
        return self.layout.pipeline
