"""The whole training configuration, and the checks between its sections."""

from jp_llm.config.checkpoint import CheckpointConfig
from jp_llm.config.data import DataConfig
from jp_llm.config.model import ModelConfig
from jp_llm.config.optim import OptimConfig
from jp_llm.config.parallel import ParallelConfig
from jp_llm.config.section import Section
from jp_llm.config.train import TrainConfig


class RunConfig(Section):
    """What `launch/train.py` reads (`configs/train.yaml`)."""

    run_dir: str = "runs/default"
    """Folder of this run; running the same command again continues from its last checkpoint."""
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

    def problems(self) -> list[str]:
        found = []
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
        if self.train.global_batch_size % self.train.micro_batch_size:
            found += self.batch_problems(1)
        if self.train.compile and self.parallel.zero_stage == 3:
            found.append(
                "train.compile: not with parallel.zero_stage 3, whose hooks stand inside every block; use stage 0 to 2"
            )
        if not self.run_dir:
            found.append("run_dir: name the folder of this run, e.g. run_dir=runs/first")
        return found
