"""Memory of one process, all of it: what `jp_llm.config.memory` counts of model, state and batch, and what DeepSpeed,
libraries and the allocator take besides. Loads no torch.

On CPUs the sum is held against the measured peak by `benchmarks/plan_memory.py`; what holds for GPUs alone (marked
"assumed") was read in sources or reported by others. docs/planning-memory.md explains every part to users.
"""

from dataclasses import dataclass, fields, replace

from jp_llm.config.layout import Layout
from jp_llm.config.memory import (
    REDUCE_BUCKET,
    Device,
    State,
    backward_bytes,
    chunks,
    effective_stage,
    element_bytes,
    gathered_bytes,
    loss_bytes,
    rank_parameters,
    stage_activation_bytes,
    stage_state,
)
from jp_llm.config.run import RunConfig

MIB = 2**20

ALL_REDUCE_BUCKET = 5 * 10**8
"""Gradients that DeepSpeed flattens into one message where ZeRO does not reduce them (`elements_per_buffer` of
`buffered_allreduce_fallback`): fp32 without ZeRO, and bf16 with stage 1."""
RUNTIME: dict[Device, int] = {
    "cuda": 768 * MIB,  # assumed: 723 MiB reported for a process with one number, and cuBLAS's workspace of 32 MiB
    "cpu": 420 * MIB,  # measured: 350 to 430 MiB after a few steps of a model of no size, torch and DeepSpeed loaded
}
"""What a process takes without a model (docs/planning-memory.md names the sources)."""
COMMUNICATOR = 544 * MIB
"""NCCL's buffers for one group of processes, assumed: measured by others on A100s with NVLink for pairs (688 MiB for
larger groups, less over a network; github.com/NVIDIA/nccl/issues/964)."""
MARGIN: dict[Device, float] = {"cuda": 0.05, "cpu": 0.0}
"""Share of all else that the allocator of a device cannot use. Assumed; a CPU's gives pages back."""


@dataclass(frozen=True)
class RankMemory:
    """Bytes on the device of one process at the fullest moment of a step, and in host memory."""

    weights: int
    """In the precision of the computation; the part of this process under ZeRO-3."""
    gradients: int
    """Less those that come only as activations go: with one micro-batch per step, and DeepSpeed keeping none."""
    optimizer: int
    """fp32 weights and moments, or the moments alone where the weights are fp32 and undivided."""
    tied: int
    """Copy and buffers of an embedding that is also the head of another pipeline stage."""
    gathered: int
    """Weights that ZeRO-3 has whole at a time."""
    activations: int
    """Kept for the backward passes of all micro-batches in flight, and what the backward pass of a block needs beyond
    `loss`."""
    loss: int
    """At the peak of the loss; 0 on a stage without a head."""
    communication: int
    """Gradients under way, and NCCL's own buffers."""
    step: int
    """What the optimizer step needs beyond what activations, loss and gathered weights have left free."""
    runtime: int
    """Of the process without a model: libraries, on a GPU its context. On a CPU also what `host` is for a GPU."""
    margin: int
    """What the allocator cannot use."""
    host: int
    """In host memory: offloaded optimizer state with its gradients, and the copy of an asynchronous checkpoint."""

    @property
    def total(self) -> int:
        """On the device."""
        return int(sum(getattr(self, field.name) for field in fields(self)) - self.host)


def rank_memory(config: RunConfig, layout: Layout, *, device: Device = "cuda") -> RankMemory:
    """Of the fullest process, over all pipeline stages. `config.model.vocab_size` must be known."""
    # Of stages with parts of the same sizes, the first has most micro-batches in flight.
    first: dict[tuple[tuple[int, bool, bool], ...], int] = {}
    for rank, parts in enumerate(chunks(config)):
        first.setdefault(tuple((len(part.layers), part.embedding, part.head) for part in parts), rank)
    stages = (stage_memory(config, layout, rank, device=device) for rank in first.values())
    return max(stages, key=lambda memory: memory.total)


def stage_memory(config: RunConfig, layout: Layout, pipeline_rank: int, *, device: Device = "cuda") -> RankMemory:
    """Of a process of one pipeline stage."""
    parts = chunks(config)[pipeline_rank]
    parameters = sum(rank_parameters(config.model, layout.tensor, part) for part in parts)
    state = stage_state(config, layout, pipeline_rank)
    checkpointing = config.train.activation_checkpointing
    kept = stage_activation_bytes(config, layout, pipeline_rank, checkpointing=checkpointing, device=device)
    loss = loss_bytes(config, layout) if parts[-1].head else 0
    activations = kept + max(0, backward_bytes(config, layout, checkpointing=checkpointing, device=device) - loss)
    gathered = gathered_bytes(config, layout, parameters)
    late = _late_gradients(config, layout, parameters, state)
    optimizer, step = state.optimizer, step_bytes(config, layout, parameters)
    host, runtime = checkpoint_copy_bytes(config, layout, parameters), RUNTIME[device]
    if device == "cpu":
        host, runtime = 0, runtime + host
    elif config.parallel.offload_optimizer:
        host, optimizer, step = host + optimizer + step, 0, 0
    found = RankMemory(
        weights=state.weights,
        gradients=state.gradients - late,
        optimizer=optimizer,
        tied=state.tied,
        gathered=gathered,
        activations=activations,
        loss=loss,
        communication=communication_bytes(config, layout, parameters, device=device),
        step=max(0, late + step - gathered - activations - loss),
        runtime=runtime,
        margin=0,
        host=host,
    )
    return replace(found, margin=round(MARGIN[device] * found.total))


def step_bytes(config: RunConfig, layout: Layout, parameters: int) -> int:
    """Passing tensors of the optimizer step on a process that holds `parameters`: the flat fp32 gradients of its share,
    or, where gradients are reduced in the step or at the end of the backward pass, messages of them."""
    stage, precision = effective_stage(config), config.train.precision
    if stage == 0 and layout.data == 1:
        return 0
    if stage == 0 or (stage == 1 and precision == "bf16" and not config.parallel.offload_optimizer):
        return 4 * min(parameters, ALL_REDUCE_BUCKET)
    share = 4 * -(-parameters // layout.data)
    if layout.data == 1 and (stage == 3 or (stage == 2 and precision == "bf16")):
        # When the bucket is reduced, a copy goes in and another comes out, though there is nobody to reduce with.
        message = 2 if precision == "bf16" and config.parallel.reduce_precision == "bf16" else 4
        return max(share, 2 * message * min(parameters, REDUCE_BUCKET))
    return share


def communication_bytes(config: RunConfig, layout: Layout, parameters: int, *, device: Device) -> int:
    """Buckets of gradients under way, and on GPUs NCCL's buffers.

    A bucket is reserved in full; a CPU gives it only the pages that gradients have filled. Stage 3 reduces a copy of
    it, and stage 2 in bf16 one in fp32 (DeepSpeed 0.19.8, `reduce_scatter_coalesced`, `setup_buckets`).
    """
    stage, element = effective_stage(config), element_bytes(config.train.precision)
    message = element if config.parallel.reduce_precision == "bf16" else 4
    filled = min(parameters, REDUCE_BUCKET)
    buffers = 0
    if stage == 3:
        buffers = message * ((REDUCE_BUCKET if device == "cuda" else filled) + (filled if layout.data > 1 else 0))
    elif stage == 2 or (stage == 1 and config.train.precision == "fp32"):
        reserved = REDUCE_BUCKET if device == "cuda" else (filled if layout.data > 1 else 0)
        copied = message * filled if layout.data > 1 and message != element else 0
        buffers = element * reserved + copied
    return buffers + (COMMUNICATOR * communicators(layout) if device == "cuda" else 0)


def communicators(layout: Layout) -> int:
    """Groups over which a process sends tensors: each axis, the stages before and behind it in one each way, all ranks
    of a replica (the norm) where these are not one axis, and the whole world (the loss)."""
    if layout.world_size == 1:
        return 0
    replica = layout.tensor > 1 and layout.pipeline > 1
    return (layout.tensor > 1) + (layout.data > 1) + 2 * (layout.pipeline > 1) + replica + 1


def checkpoint_copy_bytes(config: RunConfig, layout: Layout, parameters: int) -> int:
    """Host memory in which an asynchronous checkpoint waits for the disk: 12 bytes per parameter of the fullest
    process, which without ZeRO is data rank 0 with all."""
    if not config.checkpoint.asynchronous:
        return 0
    return 12 * (parameters if effective_stage(config) == 0 else -(-parameters // layout.data))


def _late_gradients(config: RunConfig, layout: Layout, parameters: int, state: State) -> int:
    """Gradients that a step lets go at its end, where the only backward pass brings them anew."""
    if config.num_micro_batches(layout.data) > 1 or layout.pipeline > 1 or config.parallel.offload_optimizer:
        return 0
    stage, bf16 = effective_stage(config), config.train.precision == "bf16"
    if stage == 3:
        return 0
    # BF16_Optimizer keeps the fp32 sums and lets go the gradients of the backward pass.
    return 2 * parameters if stage == 1 and bf16 else state.gradients
