"""Numbers that follow from a configuration: parameters, FLOPs, waiting time. Each formula names its source; no torch.

Bytes are in `memory.py`.
"""

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


def bubble(pipeline: int, virtual_stages: int, num_micro_batches: int) -> float:
    """Share of a step in which a stage waits, with stages of equal cost: (p - 1) / (v m + p - 1).

    From Narayanan et al. 2021, section 2.2, whose (p - 1) / (v m) is relative to the work instead of the step.
    """
    return (pipeline - 1) / (virtual_stages * num_micro_batches + pipeline - 1)
