"""The whole training configuration, and the checks between its sections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from jp_llm.config.checkpoint import CheckpointConfig
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.data import DataConfig
from jp_llm.config.guard import GuardConfig
from jp_llm.config.layout import Layout, layouts
from jp_llm.config.model import ModelConfig
from jp_llm.config.optim import OptimConfig
from jp_llm.config.parallel import ParallelConfig
from jp_llm.config.pretrained import completed_model, newest_checkpoint
from jp_llm.config.section import Section
from jp_llm.config.slurm import SlurmConfig
from jp_llm.config.supervise import SuperviseConfig
from jp_llm.config.train import TrainConfig
from jp_llm.config.watchdog import WatchdogConfig

NAMED_LAYOUTS = 3
"""How many legal layouts a refusal names."""


class RunConfig(Section):
    """What `launch/train.py`, `plan.py`, `submit.py` and `supervise.py` read (`configs/train.yaml`): the same words
    plan a run, submit it and train it."""

    run_dir: str = "runs/default"
    """Folder of this run; running the same command again continues from its last checkpoint."""
    init_from: str | None = None
    """Begin with the weights of a Hugging Face folder, a run folder or a step_N folder; null begins with random ones.
    The model section is taken from it. Where run_dir holds a checkpoint, that one is continued and this is not read."""
    seed: int = 1234
    """Decides initial weights, data order and sampling."""
    dry_run: bool = False
    """Check everything, print parameters and memory, and stop before training."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    parallel: ParallelConfig = ParallelConfig()
    train: TrainConfig = TrainConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    guard: GuardConfig = GuardConfig()
    watchdog: WatchdogConfig = WatchdogConfig()
    supervise: SuperviseConfig = SuperviseConfig()
    slurm: SlurmConfig = SlurmConfig()
    cluster: ClusterConfig | None = None

    @classmethod
    def completed(cls, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """With `init_from` the model section is that of the run's own checkpoint, or else of the model it names."""
        source, run_dir = values.get("init_from"), values.get("run_dir", cls.model_fields["run_dir"].default)
        if not source or not isinstance(source, str) or not isinstance(run_dir, str):
            return values, []
        # A notebook that comes back repeats its command, and what it began with may be gone or mounted elsewhere.
        own = newest_checkpoint(Path(run_dir))
        model, problems = completed_model(values.get("model", {}), own or Path(source).expanduser())
        return {**values, "model": model}, problems

    @model_validator(mode="after")
    def _mask_whole_documents(self) -> Self:
        if self.data.documents == "whole" and not self.model.document_mask:
            # Past the lock of a frozen section: nobody has it yet.
            object.__setattr__(self, "model", self.model.model_copy(update={"document_mask": True}))
        return self

    @property
    def seq_length(self) -> int:
        """Tokens that are predicted per sequence, after defaults."""
        return self.train.seq_length or self.model.max_position_embeddings

    def num_micro_batches(self, data_parallel_size: int) -> int:
        """Micro-batches per step of each process."""
        return self.train.global_batch_size // (self.train.micro_batch_size * data_parallel_size)

    def batch_problems(self, data_parallel_size: int) -> list[str]:
        """Whether the global batch can be divided over `data_parallel_size` processes."""
        train = self.train
        per_pass = train.micro_batch_size * data_parallel_size
        if train.global_batch_size % per_pass == 0:
            return []
        near = max(1, round(train.global_batch_size / per_pass)) * per_pass
        return [
            f"train.global_batch_size: {train.global_batch_size} is not a multiple of train.micro_batch_size "
            f"{train.micro_batch_size} x {data_parallel_size} data-parallel processes; the nearest is {near}"
        ]

    def layout_problems(self, world_size: int | None) -> list[str]:
        """Whether model and batch can be divided as `parallel` says. A refusal names the nearest legal layouts.

        Args:
            world_size: number of processes; None checks what holds for any number of them.
        """
        tensor, pipeline = self.parallel.tensor, self.parallel.pipeline
        obstacles = list(self._obstacles(tensor, pipeline))
        # What does not divide the processes has no data size; the batch must be a multiple of the micro-batch anyway.
        data = 1
        if world_size is not None and world_size % (tensor * pipeline):
            obstacles.append(f"{world_size} is not a multiple of {tensor} x {pipeline}")
        elif world_size is not None:
            data = self.parallel.layout(world_size).data
        batch = self.batch_problems(data)
        nearest = self._nearest_layouts(world_size) if obstacles or batch else ""
        if not obstacles:
            return [f"{problem}{nearest}" for problem in batch]
        over = "" if world_size is None else f" over {world_size} processes"
        reasons = "; ".join(obstacles)
        return [f"parallel: tensor {tensor} x pipeline {pipeline}{over} is not possible ({reasons}){nearest}", *batch]

    def legal_layouts(self, world_size: int | None) -> Iterator[Layout]:
        """Layouts of so many processes in which this run could be started, in no order; None takes data 1."""
        if world_size is None:
            depths = range(1, self.model.num_layers + 1)
            candidates = [Layout(size, 1, depth) for size in _tensor_sizes(self.model) for depth in depths]
        else:
            candidates = list(layouts(world_size))
        for layout in candidates:
            possible = next(self._obstacles(layout.tensor, layout.pipeline), None) is None
            if possible and not self.batch_problems(layout.data):
                yield layout

    def _nearest_layouts(self, world_size: int | None) -> str:
        wanted = self.parallel.tensor, self.parallel.pipeline
        legal = sorted(self.legal_layouts(world_size), key=lambda layout: (layout.distance(*wanted), layout.tensor))
        if not legal:
            return "" if world_size is None else f"; no layout of {world_size} processes fits this model and batch"
        return "; nearest layouts: " + ", ".join(
            f"parallel.tensor={layout.tensor} parallel.pipeline={layout.pipeline}"
            + ("" if world_size is None else f" (data {layout.data})")
            for layout in legal[:NAMED_LAYOUTS]
        )

    def _obstacles(self, tensor: int, pipeline: int) -> Iterator[str]:
        """Why the model cannot be divided so, whatever the number of processes."""
        model, parallel = self.model, self.parallel
        divided = {
            "model.num_attention_heads": model.num_attention_heads,
            "model.intermediate_size": model.mlp_size,
            # Between the layers each process of a tensor group holds its share of the positions.
            "train.seq_length": self.seq_length,
        }
        if model.max_position_embeddings != self.seq_length:
            divided["model.max_position_embeddings"] = model.max_position_embeddings
        if model.vocab_size is not None:
            divided["the padded vocabulary"] = model.padded_vocab_size
        for name, size in divided.items():
            if size % tensor:
                yield f"{name} {size} is not a multiple of tensor {tensor}"
        heads = model.key_value_heads
        if heads != model.num_attention_heads and heads % tensor and tensor % heads:
            yield f"of {heads} key/value heads and tensor {tensor} neither divides the other"
        if model.num_layers < pipeline * parallel.virtual_stages:
            virtual = f" x virtual_stages {parallel.virtual_stages}" if parallel.virtual_stages > 1 else ""
            yield f"model.num_layers {model.num_layers} is less than pipeline {pipeline}{virtual}"
        if parallel.virtual_stages > 1 and pipeline == 1:
            yield f"parallel.virtual_stages {parallel.virtual_stages} needs pipeline 2 or more, otherwise set it to 1"
        if parallel.offload_optimizer and pipeline > 1:
            yield "parallel.offload_optimizer works with pipeline 1 only, otherwise set it to false"
        if self.train.compile and (tensor > 1 or pipeline > 1):
            yield "train.compile works with tensor 1 and pipeline 1 only, otherwise set it to false"

    def problems(self) -> list[str]:
        found = []
        if self.init_from == "":
            found.append(
                "init_from: name the model to begin with, e.g. init_from=models/first (a Hugging Face folder, a run "
                "folder or a step_N folder)"
            )
        if self.seq_length > self.model.max_position_embeddings:
            found.append(
                f"train.seq_length: {self.seq_length} is longer than "
                f"model.max_position_embeddings {self.model.max_position_embeddings}"
            )
        if self.optim.warmup_steps >= self.train.num_steps:
            found.append(
                f"optim.warmup_steps: {self.optim.warmup_steps} must be less than "
                f"train.num_steps {self.train.num_steps}"
            )
        # Without a sound model there is nothing to divide.
        world_size = self.parallel.world_size
        found += self.batch_problems(1) if self.model.problems() else self.layout_problems(world_size)
        if self.train.compile and self.parallel.zero_stage == 3:
            found.append(
                "train.compile: not with parallel.zero_stage 3, whose hooks stand inside every block; use stage 0 to 2"
            )
        if not self.data.path and not (self.dry_run and self.model.vocab_size):
            found.append(
                "data.path: name the dataset folder, e.g. data.path=corpora/demo (a dry run can do without it if "
                "model.vocab_size is given)"
            )
        if not self.run_dir:
            found.append("run_dir: name the folder of this run, e.g. run_dir=runs/first")
        return found


def _tensor_sizes(model: ModelConfig) -> list[int]:
    return [size for size in range(1, model.num_attention_heads + 1) if model.num_attention_heads % size == 0]
