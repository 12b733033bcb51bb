"""Stand-in until the counted one is merged: memory of the fullest rank from `jp_llm.config.memory`."""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal

from jp_llm.config import memory
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig


@dataclass(frozen=True)
class RankMemory:
    weights: int
    gradients: int
    optimizer: int
    tied: int
    gathered: int
    activations: int
    loss: int
    communication: int
    step: int
    runtime: int
    margin: int
    host: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self) if field.name != "host")


@lru_cache(maxsize=1024)
def _chunks(model, pipeline, virtual, seq, ck):
    return memory.divide(model, pipeline, virtual, seq, recompute=ck)


@lru_cache(maxsize=8192)
def _par(model, tensor, layers, emb, head):
    from jp_llm.config.stages import Stage

    return memory.rank_parameters(model, tensor, Stage(range(layers), emb, head, 0))


def rank_memory(config: RunConfig, layout: Layout, *, device: Literal["cuda", "cpu"] = "cuda") -> RankMemory:
    p, v = layout.pipeline, config.parallel.virtual_stages
    parts = _chunks(config.model, p, v, config.seq_length, config.train.activation_checkpointing)
    best = None
    ck = config.train.activation_checkpointing
    blk = memory.hidden_bytes(config, layout) if ck else memory.block_activation_bytes(config, layout)
    for rank in {0, p - 1}:
        own = parts[rank::p]
        layers = sum(len(x.layers) for x in own)
        emb, head = any(x.embedding for x in own), any(x.head for x in own)
        n = _par(config.model, layout.tensor, layers, emb, head)
        state = memory.state_bytes(n, config.parallel.zero_stage, config.train.precision, layout.data)
        m = config.num_micro_batches(layout.data)
        flight = min(m, p - rank) if v == 1 else min(m, p - rank + (v - 1) * p / v)
        acts = int(flight * layers * blk) + (memory.block_activation_bytes(config, layout) if ck else 0)
        step = 4 * n // layout.data if config.parallel.zero_stage else 0
        offload = config.parallel.offload_optimizer
        found = RankMemory(
            state.weights,
            state.gradients,
            0 if offload else state.optimizer,
            0,
            memory.gathered_bytes(config, layout, n),
            acts,
            memory.loss_bytes(config, layout) if head else 0,
            8 * 10**8,
            step,
            10**9,
            2 * 10**9,
            state.optimizer if offload else 0,
        )
        if best is None or found.total > best.total:
            best = found
    return best
