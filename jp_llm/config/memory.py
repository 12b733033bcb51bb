"""Bytes of memory that model, state and batch need on one process, part by part. Loads no torch.

What DeepSpeed, libraries and the allocator take besides is in `jp_llm.plan.memory`, which also adds the parts up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.layout import Layout
from jp_llm.config.model import ModelConfig
from jp_llm.config.run import RunConfig
from jp_llm.config.stages import Stage, divide

Device = Literal["cuda", "cpu"]
"""Kernels keep different things on the two."""

GATHERED_PARTS = 3
"""Blocks (or embeddings, if these are larger) whose weights ZeRO-3 keeps gathered at a time, per micro-batch."""
REDUCE_BUCKET = 2 * 10**8
"""Gradients that ZeRO-2 and 3 (and 1 in fp32) put together before they are reduced (`reduce_bucket_size`)."""


@dataclass(frozen=True)
class State:
    """Bytes that stay from step to step."""

    weights: int
    """In the precision of the computation; the part of this process under ZeRO-3."""
    gradients: int
    optimizer: int
    """fp32 weights and two moments, or the moments alone where the weights are fp32 and undivided."""
    tied: int = 0
    """What a tied embedding costs besides, on the first and the last of several stages."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.tied


def effective_stage(config: RunConfig) -> int:
    """The ZeRO stage that runs: stage 0 in bf16 is done as stage 1 (see `jp_llm.engine.zero`)."""
    bf16 = config.train.precision == "bf16"
    return 1 if bf16 and config.parallel.zero_stage == 0 else config.parallel.zero_stage


def element_bytes(precision: str) -> int:
    """Bytes of one weight or activation during the computation."""
    return 2 if precision == "bf16" else 4


def state_bytes(num_parameters: int, zero_stage: int, precision: str, data_parallel_size: int) -> State:
    """Weights, gradients, fp32 weights and two moments (Rajbhandari et al. 2020, ZeRO, section 5).

    With bf16: 2 (weights) + 4 (fp32 gradients) + 12 (fp32 weights and moments); stage 1 keeps the gradients whole, and
    DeepSpeed's optimizer for it also those of the last backward pass, in bf16; stage 2 divides them, stage 3 divides
    the bf16 weights too. With fp32 stage 0 there is no second copy.
    """
    divided = num_parameters / data_parallel_size
    if zero_stage == 0 and precision == "fp32":
        return State(4 * num_parameters, 4 * num_parameters, 8 * num_parameters)
    weights = element_bytes(precision) * (divided if zero_stage == 3 else num_parameters)
    undivided = (6 if precision == "bf16" else 4) * num_parameters
    gradients = 4 * divided if zero_stage >= 2 else undivided
    return State(round(weights), round(gradients), round(12 * divided))


def stage_state(config: RunConfig, layout: Layout, pipeline_rank: int) -> State:
    """State of a process of one pipeline stage (all its tensor ranks hold tensors of the same shapes)."""
    model, precision = config.model, config.train.precision
    parameters = sum(rank_parameters(model, layout.tensor, part) for part in chunks(config)[pipeline_rank])
    state = state_bytes(parameters, config.parallel.zero_stage, precision, layout.data)
    if not model.tied or layout.pipeline == 1:
        return state
    # The head works with a copy. Its gradient travels in fp32 and takes a buffer on either side.
    shared = model.padded_vocab_size * model.hidden_size // layout.tensor
    per_element = 4 * (pipeline_rank == 0) + (4 + element_bytes(precision)) * (pipeline_rank == layout.pipeline - 1)
    return State(state.weights, state.gradients, state.optimizer, tied=shared * per_element)


def chunks(config: RunConfig) -> tuple[tuple[Stage, ...], ...]:
    """Per pipeline stage, the parts of the model that it holds."""
    parallel, recompute = config.parallel, config.train.activation_checkpointing
    return _chunks(config.model, parallel.pipeline, parallel.virtual_stages, config.seq_length, recompute)


@lru_cache(maxsize=1024)
def _chunks(
    model: ModelConfig, pipeline: int, virtual_stages: int, seq_length: int, recompute: bool
) -> tuple[tuple[Stage, ...], ...]:
    parts = divide(model, pipeline, virtual_stages, seq_length, recompute=recompute)
    return tuple(parts[rank::pipeline] for rank in range(pipeline))


def rank_parameters(model: ModelConfig, tensor: int, part: Stage) -> int:
    """Parameters that each tensor-parallel rank holds of one part of the model.

    Heads, inner dimensions of the MLP and the vocabulary are divided; norms, learned positions and the biases of
    `attention.o` and `mlp.down` are not; ranks hold at least one key/value head each.
    """
    block, embedding, head = _divided_parameters(model, tensor)
    return len(part.layers) * block + part.embedding * embedding + part.head * head


@lru_cache(maxsize=64)
def _divided_parameters(model: ModelConfig, tensor: int) -> tuple[int, int, int]:
    """Of one block, of embedding and positions, of final norm and head, on one tensor-parallel rank."""
    block = embedding = head = 0
    for name, shape in parameter_shapes(model).items():
        size = prod(shape) // _divisor(name, model, tensor)
        if name.startswith("layers."):
            block += size * name.startswith("layers.0.")
        elif name.startswith(("final_norm.", "head.")):
            head += size
        else:
            embedding += size
    return block, embedding, head


def _divisor(name: str, model: ModelConfig, tensor: int) -> int:
    owner = name.rpartition(".")[0]
    whole = owner.endswith(("positions", "attention_norm", "mlp_norm", "final_norm"))
    if whole or name.endswith((".o.bias", ".down.bias")):
        return 1
    return min(tensor, model.key_value_heads) if owner.endswith((".k", ".v", ".k_norm")) else tensor


@lru_cache(maxsize=64)
def largest_part(model: ModelConfig) -> int:
    """Parameters of a block, or of the embedding where that is larger."""
    shapes = parameter_shapes(model)
    block = sum(prod(shape) for name, shape in shapes.items() if name.startswith("layers.0."))
    return max(block, prod(shapes["embedding.weight"]))


def gathered_bytes(config: RunConfig, layout: Layout, parameters: int) -> int:
    """Most bytes of weights that ZeRO-3 has gathered at a time on a process that holds `parameters`; 0 without it,
    and where there is nobody to gather from."""
    if config.parallel.zero_stage < 3 or layout.data == 1:
        return 0
    if config.parallel.gather_policy == "per_micro_batch":
        parameters = min(parameters, GATHERED_PARTS * largest_part(config.model) // layout.tensor)
    return element_bytes(config.train.precision) * parameters


def hidden_bytes(config: RunConfig, layout: Layout) -> int:
    """The residual stream of one micro-batch on one process, which has its share of the positions."""
    elements = config.train.micro_batch_size * config.seq_length * config.model.hidden_size
    return element_bytes(config.train.precision) * elements // layout.tensor


def block_activation_bytes(config: RunConfig, layout: Layout, device: Device = "cuda") -> int:
    """What one block keeps of a micro-batch for its backward pass, its input included.

    The count of Korthikanti et al. 2022, section 4, for this implementation: flash attention keeps nothing quadratic,
    there is no dropout, rotation makes new queries and keys, and the inputs of column layers are kept gathered over
    the tensor axis instead of gathered again in the backward pass. Statistics of the norms are left out. A document
    mask is kept by each layer, and as many key and value heads as query heads. On CPUs RMSNorm is many kernels, which
    keep more (`rms_norm_bytes`).
    """
    model, tensor, element = config.model, layout.tensor, element_bytes(config.train.precision)
    tokens = config.train.micro_batch_size * config.seq_length
    residual = model.spec.residual
    # Norm inputs with the positions of this process; norm outputs with all positions.
    norm_inputs = 2 if residual == "serial" else 1
    gathered = 1 if residual == "parallel_one_norm" else 2
    per_token = (norm_inputs / tensor + gathered) * model.hidden_size * element
    # Inner: what the activation function gets and gives, and with a gate also their product.
    per_token += (4 if model.spec.mlp == "swiglu" else 2) * model.mlp_size // tensor * element
    queries, keys = model.num_attention_heads // tensor, max(model.key_value_heads // tensor, 1)
    norm_copies = element < 4
    per_token += _kept_heads(model, tensor, queries, keys, norm_copies=norm_copies) * model.head_dim * element
    per_token += queries * (model.head_dim * element + 4)  # attention's output, and the fp32 sums of its softmax
    if model.qk_norm:
        # The normalised heads in fp32, and perhaps the fp32 copy that they are computed from.
        per_token += (queries + keys) * model.head_dim * (8 if norm_copies else 4)
    mask = element * config.seq_length * tokens if model.document_mask else 0
    norms = norm_inputs * rms_norm_bytes(config, layout) if device == "cpu" else 0
    return round(tokens * per_token) + mask + norms


def rms_norm_bytes(config: RunConfig, layout: Layout) -> int:
    """What an RMSNorm on a CPU keeps besides its input and output: the normalised input, and if the computation is in
    bf16, this and the input in fp32. Nothing for other norms."""
    if config.model.spec.norm != "rms_norm":
        return 0
    # The normalised input before rounding is fp32; the rounded one is kept besides, for the gradient of the weight.
    return hidden_bytes(config, layout) * (1 if config.train.precision == "fp32" else 3)


def _kept_heads(model: ModelConfig, tensor: int, queries: int, keys: int, *, norm_copies: bool) -> int:
    """Heads of queries, keys and values that attention keeps of each token.

    Args:
        norm_copies: whether the head norm computes from a copy of the projections in a higher precision.
    """
    projected = queries + 2 * keys
    if not model.rotary_dim:
        return projected
    # With fewer key/value heads than ranks queries are a tensor of their own, of which only the rotated one is needed.
    separate = model.key_value_heads < tensor
    repeated = model.document_mask and keys < queries
    rotated = queries + (0 if separate and repeated else keys)
    if model.qk_norm and not norm_copies:
        unrotated = projected
    elif repeated:
        unrotated = 0
    else:
        unrotated = 2 * keys if separate else projected
    return rotated + unrotated + (2 * queries if repeated else 0)


def loss_bytes(config: RunConfig, layout: Layout) -> int:
    """What final norm and loss need at their peak (`jp_llm.model.loss`): hidden states and their gradient, the head's
    gradient in fp32 and once more, and one chunk of logits, of their softmax in fp32 and of their gradients.
    """
    model, element = config.model, element_bytes(config.train.precision)
    tokens = config.train.micro_batch_size * config.seq_length
    rows = model.padded_vocab_size // layout.tensor
    chunk = min(config.train.loss_chunk_tokens, tokens) * rows * (4 + element + (0 if element == 4 else element))
    head = rows * model.hidden_size * (4 + element)
    return hidden_bytes(config, layout) + 2 * tokens * model.hidden_size * element + head + chunk


def part_activation_bytes(
    config: RunConfig, layout: Layout, part: Stage, *, checkpointing: bool, device: Device = "cuda"
) -> int:
    """What one part of the model keeps of a micro-batch between its forward and its backward pass."""
    hidden = hidden_bytes(config, layout)
    block = hidden if checkpointing else block_activation_bytes(config, layout, device)
    final_norm = rms_norm_bytes(config, layout) if part.head and device == "cpu" else 0
    # What goes to the next stage is also kept here.
    return len(part.layers) * block + (final_norm if part.head else hidden)


def in_flight(stage: int, num_stages: int, num_micro_batches: int, num_chunks: int = 1) -> Iterator[int]:
    """Per chunk of a pipeline stage, how many micro-batches it keeps when it keeps most.

    That is when the first backward pass begins (Narayanan et al. 2021, section 2.2): with one chunk stage s has run
    min(m, p - s) micro-batches forward, with v chunks (v - 1) p + 2 (p - s - 1) + 1 passes, in groups of p
    micro-batches through chunk after chunk. `jp_llm.engine.pipeline.one_f_one_b` is the order in full.
    """
    if num_chunks == 1:
        yield min(num_micro_batches, num_stages - stage)
        return
    passes = (num_chunks - 1) * num_stages + 2 * (num_stages - stage - 1) + 1
    for chunk in range(num_chunks):
        kept = 0
        for group in (0, 1):  # of a third group nothing has begun
            begun = min(max(passes - (group * num_chunks + chunk) * num_stages, 0), num_stages)
            kept += min(begun, max(num_micro_batches - group * num_stages, 0))
        yield kept


def stage_activation_bytes(
    config: RunConfig, layout: Layout, pipeline_rank: int, *, checkpointing: bool, device: Device = "cuda"
) -> int:
    """The most that one pipeline stage keeps of its micro-batches in flight for their backward passes."""
    micro_batches = config.num_micro_batches(layout.data)
    counts = in_flight(pipeline_rank, layout.pipeline, micro_batches, config.parallel.virtual_stages)
    return sum(
        count * part_activation_bytes(config, layout, part, checkpointing=checkpointing, device=device)
        for count, part in zip(counts, chunks(config)[pipeline_rank], strict=True)
    )


def backward_bytes(config: RunConfig, layout: Layout, *, checkpointing: bool, device: Device = "cuda") -> int:
    """What the backward pass of one block needs while it runs: gradients of the residual stream and of the inside of
    the MLP, where a block is widest, and with checkpointing all that the block is computed again for."""
    model, element = config.model, element_bytes(config.train.precision)
    tokens = config.train.micro_batch_size * config.seq_length
    gated = model.spec.mlp == "swiglu"
    inner = (2 if gated else 1) * tokens * (model.mlp_size // layout.tensor) * element
    again = block_activation_bytes(config, layout, device) if checkpointing else 0
    return again + inner + (1 if gated else 2) * tokens * model.hidden_size * element
