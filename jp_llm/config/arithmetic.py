"""Numbers that follow from a configuration: parameters, FLOPs, bytes. Each formula names its source; no torch."""

import re
from math import prod

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.model import ModelConfig

PEAK_BF16_FLOPS = {
    # Dense bf16 with fp32 accumulation, from NVIDIA's data sheets (the printed figures with sparsity, halved).
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


def num_parameters(model: ModelConfig) -> int:
    """All parameters, a tied head counted once, padding of the vocabulary included."""
    return sum(prod(shape) for shape in parameter_shapes(model).values())


def num_embedding_parameters(model: ModelConfig) -> int:
    """Parameters of the embedding, the learned positions and an untied head."""
    shapes = parameter_shapes(model)
    return sum(prod(shapes.get(name, (0,))) for name in ("embedding.weight", "positions.weight", "head.weight"))


def flops_per_token(model: ModelConfig, seq_length: int) -> float:
    """Model FLOPs of forward and backward per trained token, recomputation not counted."""
    return float(model.num_layers * block_flops_per_token(model, seq_length) + head_flops_per_token(model))


def block_flops_per_token(model: ModelConfig, seq_length: int) -> int:
    """Share of one block in `flops_per_token`.

    6 per weight that multiplies an activation (Kaplan et al. 2020, section 2.1), plus 6 x heads x head_dim x T for
    causal attention (PaLM, appendix B, gives 12 for full attention; half of the scores are masked).
    """
    linear = re.compile(r"layers\.0\.(attention\.[qkvo]|mlp\.\w+)\.weight")
    matrices = sum(prod(shape) for name, shape in parameter_shapes(model).items() if linear.fullmatch(name))
    return 6 * (matrices + model.num_attention_heads * model.head_dim * seq_length)


def head_flops_per_token(model: ModelConfig) -> int:
    """Share of the head in `flops_per_token`, tied or not: 6 per weight."""
    return 6 * model.padded_vocab_size * model.hidden_size


def peak_flops(device_name: str) -> float | None:
    """Peak bf16 FLOP/s of a GPU by its CUDA name, or None where it is not in the table."""
    for name, flops in PEAK_BF16_FLOPS.items():
        if all(word in device_name for word in name.split()):
            return flops
    return None


def state_bytes_per_process(num_parameters: int, zero_stage: int, precision: str, data_parallel_size: int) -> int:
    """Bytes of weights, gradients, fp32 weights and two moments (Rajbhandari et al. 2020, ZeRO, section 5).

    With bf16: 2 (weights) + 4 (fp32 gradients) + 12 (fp32 weights and moments); stage 1 keeps the gradients whole,
    stage 2 divides them, stage 3 divides the bf16 weights too. With fp32 stage 0 there is no second copy.
    """
    divided = num_parameters / data_parallel_size
    if zero_stage == 0 and precision == "fp32":
        return 16 * num_parameters
    weight = 2 if precision == "bf16" else 4
    weights = weight * (divided if zero_stage == 3 else num_parameters)
    gradients = 4 * (divided if zero_stage >= 2 else num_parameters)
    return round(weights + gradients + 12 * divided)
