"""Bytes of memory that one process needs, part by part. Loads no torch.

Not counted: what libraries and kernels take for themselves, buckets of gradients under way (`reduce_bucket_size` in
`jp_llm.engine.zero`), temporary tensors of the optimizer step, and what the allocator cannot use.
"""

from dataclasses import dataclass
from math import prod

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.layout import Layout
from jp_llm.config.model import ModelConfig
from jp_llm.config.run import RunConfig
from jp_llm.config.stages import Stage, divide

GATHERED_PARTS = 3
"""Blocks (or embeddings, if these are larger) whose weights ZeRO-3 keeps gathered at a time, per micro-batch."""


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
    parallel = config.parallel
    parts = divide(
        config.model,
        parallel.pipeline,
        parallel.virtual_stages,
        config.seq_length,
        recompute=config.train.activation_checkpointing,
    )
    return tuple(parts[rank :: parallel.pipeline] for rank in range(parallel.pipeline))


def rank_parameters(model: ModelConfig, tensor: int, part: Stage) -> int:
    """Parameters that each tensor-parallel rank holds of one part of the model.

    Heads, inner dimensions of the MLP and the vocabulary are divided; norms, learned positions and the biases of
    `attention.o` and `mlp.down` are not; ranks hold at least one key/value head each.
    """
    total = 0
    for name, shape in parameter_shapes(model).items():
        first, _, rest = name.partition(".")
        if first == "layers":
            here = int(rest.partition(".")[0]) in part.layers
        else:
            here = part.head if first in ("final_norm", "head") else part.embedding
        if here:
            total += prod(shape) // _divisor(name, model, tensor)
    return total


def _divisor(name: str, model: ModelConfig, tensor: int) -> int:
    owner = name.rpartition(".")[0]
    whole = owner.endswith(("positions", "attention_norm", "mlp_norm", "final_norm"))
    if whole or name.endswith((".o.bias", ".down.bias")):
        return 1
    return min(tensor, model.key_value_heads) if owner.endswith((".k", ".v", ".k_norm")) else tensor


def largest_part(model: ModelConfig) -> int:
    """Parameters of a block, or of the embedding where that is larger."""
    shapes = parameter_shapes(model)
    block = sum(prod(shape) for name, shape in shapes.items() if name.startswith("layers.0."))
    return max(block, prod(shapes["embedding.weight"]))


def gathered_bytes(config: RunConfig, layout: Layout, parameters: int) -> int:
    """Most bytes of weights that ZeRO-3 has gathered at a time on a process that holds `parameters`; 0 without it."""
    if config.parallel.zero_stage < 3:
        return 0
    if config.parallel.gather_policy == "per_micro_batch":
        parameters = min(parameters, GATHERED_PARTS * largest_part(config.model) // layout.tensor)
    return element_bytes(config.train.precision) * parameters


def hidden_bytes(config: RunConfig, layout: Layout) -> int:
    """The residual stream of one micro-batch on one process, which has its share of the positions."""
    elements = config.train.micro_batch_size * config.seq_length * config.model.hidden_size
    return element_bytes(config.train.precision) * elements // layout.tensor


def block_activation_bytes(config: RunConfig, layout: Layout) -> int:
    """What one block keeps of a micro-batch for its backward pass, its input included.

    The count of Korthikanti et al. 2022, section 4, for this implementation: flash attention keeps nothing quadratic,
    there is no dropout, rotation makes new queries and keys, and the inputs of column layers are kept gathered over
    the tensor axis instead of gathered again in the backward pass. Statistics of the norms are left out. A document
    mask is kept by each layer, and as many key and value heads as query heads.
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
    return round(tokens * per_token) + mask


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


def part_activation_bytes(config: RunConfig, layout: Layout, part: Stage, *, checkpointing: bool) -> int:
    """What one part of the model keeps of a micro-batch between its forward and its backward pass."""
    hidden = hidden_bytes(config, layout)
    block = hidden if checkpointing else block_activation_bytes(config, layout)
    # What goes to the next stage is also kept here.
    return len(part.layers) * block + (0 if part.head else hidden)
