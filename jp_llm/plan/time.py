"""How long one optimizer step takes under a layout. No torch; docs/planning.md has the formulas side by side."""

from dataclasses import dataclass, fields
from functools import lru_cache
from math import ceil

from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.memory import rank_parameters
from jp_llm.config.model import ModelConfig
from jp_llm.config.run import RunConfig
from jp_llm.config.stages import Stage, divide
from jp_llm.plan.network import Link, Links, links
from jp_llm.plan.work import Device, Passes, block, head

ACCUMULATION_BYTES = 10
"""Read and written per parameter and micro-batch to add a bf16 gradient to its fp32 sum."""

OPTIMIZER_BYTES = 52
"""Read and written per updated parameter: AdamW reads weight, gradient and two moments and writes three of them in fp32
(28) and the bf16 weight (2); norm, clipping and the copy of the gradient read and write fp32 (20); zeroing (2)."""

BUCKET = 2 * 10**8
"""Elements that are reduced at a time (`reduce_bucket_size` of `jp_llm.engine.zero`)."""

GATHERS_AND_SCATTERS = {"serial": 4, "parallel": 3, "parallel_one_norm": 2}
"""Collectives of a block's forward pass over the tensor axis (`jp_llm.model.block`); its backward pass has as many."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimizer step of the slowest stage, by part. They follow each other and add up; what is hidden
    behind computation is in none of them."""

    computation: float
    """Forward and backward passes, loss, and the sum of gradients over micro-batches."""
    recomputation: float
    """Of activation checkpointing."""
    tensor: float
    """Collectives inside the layers."""
    pipeline: float
    """Hidden states and their gradients between stages."""
    data: float
    """Gradients and weights over data parallel."""
    bubble: float
    """Waiting for the first and the last micro-batches to pass the other stages."""
    optimizer: float
    """Update, and its way to host memory and back with offload_optimizer."""

    @property
    def total(self) -> float:
        """The whole step."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def communication(self) -> float:
        """What is waited for the network."""
        return self.tensor + self.pipeline + self.data


@dataclass(frozen=True)
class _StageWork:
    """One micro-batch on one stage, in seconds."""

    computation: float
    recomputation: float
    tensor: float
    data: float

    @property
    def total(self) -> float:
        return self.computation + self.recomputation + self.tensor + self.data


def step_time(config: RunConfig, layout: Layout, cluster: ClusterConfig) -> StepTime:
    """Expected seconds of one optimizer step; evaluation, checkpoints and the wait for data come on top.

    A step of m micro-batches over p stages of v parts takes (m + (p - 1) / v) times the slowest stage's micro-batch
    (Narayanan et al. 2021, section 2.2), then what happens once: gradients and weights over data parallel, and update.
    """
    device, link = Device.of(cluster, config.train.precision), links(cluster, layout)
    parts = stage_parts(
        config.model,
        layout.tensor,
        layout.pipeline,
        config.parallel.virtual_stages,
        config.seq_length,
        config.train.activation_checkpointing,
    )
    own = block(config.model, device, layout.tensor, config.train.micro_batch_size, config.seq_length)
    work = [_stage(config, layout, device, link, cluster.overlap, part, own) for part in parts]
    slowest = max(work, key=lambda stage: stage.total)
    messages = 0.0
    if layout.pipeline > 1:
        tokens = config.train.micro_batch_size * config.seq_length
        hidden = device.element * tokens * config.model.hidden_size / layout.tensor
        messages = 2 * config.parallel.virtual_stages * link.pipeline.message(hidden)
    micro_batches = config.num_micro_batches(layout.data)
    parameters = max(part.parameters for part in parts)
    return StepTime(
        computation=micro_batches * slowest.computation,
        recomputation=micro_batches * slowest.recomputation,
        tensor=micro_batches * slowest.tensor,
        pipeline=micro_batches * messages,
        data=micro_batches * slowest.data + _once(config, link.data, device, parameters),
        bubble=(layout.pipeline - 1) / config.parallel.virtual_stages * (slowest.total + messages),
        optimizer=_update(config, layout, cluster, device, parameters),
    )


@dataclass(frozen=True)
class StagePart:
    """What a pipeline stage holds: layers over all its virtual stages, and the ends of the model."""

    layers: int
    embedding: bool
    head: bool
    parameters: int
    """On each tensor rank."""


@lru_cache(maxsize=4096)
def stage_parts(
    model: ModelConfig, tensor: int, pipeline: int, virtual_stages: int, seq_length: int, recompute: bool
) -> tuple[StagePart, ...]:
    """What distinct pipeline stages hold (arguments as in `jp_llm.config.stages.divide`)."""
    parts = divide(model, pipeline, virtual_stages, seq_length, recompute=recompute)
    embedding, layer, last = _sizes(model, tensor)
    found = set()
    for rank in range(pipeline):
        own = parts[rank::pipeline]
        layers = sum(len(part.layers) for part in own)
        first, final = any(part.embedding for part in own), any(part.head for part in own)
        found.add(StagePart(layers, first, final, layers * layer + first * embedding + final * last))
    return tuple(found)


@lru_cache(maxsize=256)
def _sizes(model: ModelConfig, tensor: int) -> tuple[int, int, int]:
    """Parameters per tensor rank of the embedding, of one block, and of final norm and head."""

    def size(layers: int, *, embedding: bool = False, head: bool = False) -> int:
        return rank_parameters(model, tensor, Stage(range(layers), embedding, head, flops_per_token=0))

    return size(0, embedding=True), size(1), size(0, head=True)


def _stage(
    config: RunConfig, layout: Layout, device: Device, link: Links, overlap: float, part: StagePart, own: Passes
) -> _StageWork:
    model, train, tensor = config.model, config.train, layout.tensor
    loss = 0.0
    if part.head:
        loss = head(model, device, tensor, train.micro_batch_size, config.seq_length, train.loss_chunk_tokens)
    accumulation = ACCUMULATION_BYTES * part.parameters / device.memory_bytes
    recomputed = part.layers * own.forward if train.activation_checkpointing else 0.0
    collectives = Passes(0.0, 0.0)
    if tensor > 1:
        whole = device.element * train.micro_batch_size * config.seq_length * model.hidden_size
        count = part.layers * GATHERS_AND_SCATTERS[model.spec.residual] + part.embedding + part.head
        once = count * link.tensor.ring(whole)
        collectives = Passes(once, once * (2 if train.activation_checkpointing else 1))
    forward = part.layers * own.forward + loss + collectives.forward
    backward = part.layers * own.backward + accumulation + recomputed + collectives.backward
    return _StageWork(
        computation=part.layers * own.both + loss + accumulation,
        recomputation=recomputed,
        tensor=collectives.both,
        data=_per_micro_batch(config, link.data, device, overlap, part, Passes(forward, backward)),
    )


def reduced_bytes(config: RunConfig) -> int:
    """Bytes of one gradient while it is summed over data parallel."""
    bf16 = config.train.precision == "bf16" and config.parallel.reduce_precision == "bf16"
    return 2 if bf16 else 4


def _per_micro_batch(
    config: RunConfig, link: Link, device: Device, overlap: float, part: StagePart, beside: Passes
) -> float:
    """What every micro-batch waits for data parallel (docs/parallelism.md has the bytes).

    ZeRO-2 and 3 reduce the gradients of every micro-batch, ZeRO-2 after its backward pass and ZeRO-3 beside it; ZeRO-3
    with `per_micro_batch` gathers the weights for the forward and again for the backward pass, beside them.
    """
    stage = config.parallel.zero_stage
    if stage < 2 or link.size == 1:
        return 0.0
    buckets = ceil(part.parameters / BUCKET)
    reduction = link.ring(reduced_bytes(config) * part.parameters) + (buckets - 1) * link.start
    if stage == 2:
        return reduction
    gathering = 0.0
    if config.parallel.gather_policy == "per_micro_batch":
        gathering = link.ring(device.element * part.parameters) + part.layers * link.start
    return sum(
        traffic - overlap * min(traffic, computation)
        for traffic, computation in ((gathering, beside.forward), (gathering + reduction, beside.backward))
    )


def _once(config: RunConfig, link: Link, device: Device, parameters: int) -> float:
    """What every step waits for data parallel: ZeRO-0 and 1 sum the gradients (a reduce-scatter and an all-gather),
    ZeRO-1 to 3 gather the new weights, ZeRO-3 only if they stay for the step."""
    stage = config.parallel.zero_stage
    weights = link.ring(device.element * parameters)
    if stage == 3:
        return weights if config.parallel.gather_policy == "per_step" else 0.0
    summed = 2 * link.ring(reduced_bytes(config) * parameters) if stage < 2 else 0.0
    updated = 0.0 if stage == 0 and config.train.precision == "fp32" else weights
    return summed + updated


def _update(config: RunConfig, layout: Layout, cluster: ClusterConfig, device: Device, parameters: int) -> float:
    """The optimizer reads and writes its state once; offloaded, in host memory, with a gradient (fp32) and a weight
    (bf16) per parameter on the way."""
    divided = not (config.parallel.zero_stage == 0 and config.train.precision == "fp32")
    owned = parameters / layout.data if divided else parameters
    if not config.parallel.offload_optimizer:
        return owned * OPTIMIZER_BYTES / device.memory_bytes
    carried = owned * (4 + device.element) / (1e9 * cluster.host_link_gb_per_second)
    return carried + owned * OPTIMIZER_BYTES / (1e9 * cluster.host_memory_gb_per_second)
