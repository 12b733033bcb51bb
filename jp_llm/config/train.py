"""`train`: the loop."""

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, PositiveInt

from jp_llm.config.section import Section
from jp_llm.runtime import plugin


class TrainConfig(Section):
    """Batch sizes count sequences; one step is one optimizer update on one global batch."""

    num_steps: PositiveInt = 1000
    """Steps of the whole run, resumed or not."""
    global_batch_size: PositiveInt = 256
    """Sequences per step over all processes."""
    micro_batch_size: PositiveInt = 8
    """Sequences per forward and backward pass of one process."""
    seq_length: PositiveInt | None = None
    """Tokens that are predicted per sequence; null takes model.max_position_embeddings."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16 computes in bfloat16 and keeps weights, moments and accumulated gradients in float32."""
    activation_checkpointing: bool = False
    """Keep only the input of each block and recompute the rest in the backward pass."""
    compile: bool = False
    """Compile every block with torch.compile."""
    loss_chunk_tokens: PositiveInt = 2048
    """Tokens whose logits exist at the same time."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto takes a GPU if there is one."""
    log_every_steps: PositiveInt = 1
    """Steps between progress lines and metrics records."""
    eval_every_steps: int = Field(default=500, ge=0)
    """Steps between evaluations on held-out shards; 0 evaluates only at the end."""
    eval_samples: PositiveInt = 256
    """Held-out sequences per source and evaluation (all, if there are fewer)."""
    sample_every_steps: int = Field(default=500, ge=0)
    """Steps between completions of the prompts; 0 switches them off."""
    sample_prompts: tuple[str, ...] = ("昔々、", "日本の首都は", "人工知能とは、", "今日の天気は")
    """Beginnings that are completed."""
    sample_tokens: PositiveInt = 64
    """New tokens per completion."""
    sample_temperature: float = Field(default=0.8, ge=0)
    """0 takes the likeliest token."""
    sample_top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus the next token is drawn from."""
    loggers: tuple[str, ...] = ("console", "jsonl")
    """Files of `jp_llm/train/loggers`: console, jsonl (always on), tensorboard, wandb."""

    def problems(self) -> list[str]:
        known = plugin.names("jp_llm.train.loggers")
        found = [
            f"loggers: no logger {name!r}{plugin.nearest(name, known)}" for name in self.loggers if name not in known
        ]
        found += [
            f"loggers: {name} is not installed; pip install 'jp-llm[loggers]' or leave it out"
            for name in ("tensorboard", "wandb")
            if name in self.loggers and find_spec(name) is None
        ]
        return found
