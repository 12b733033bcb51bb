"""Canonical parameter names and shapes of a decoder: the one list that model, checkpoint, export and planner share.

Canonical means: q, k, v, gate and up are separate, linear weights are [out, in] with heads outermost, rotary order is
half-split (dimension i turns with i + r/2), layers carry their global number, the vocabulary is padded.
"""

from typing import Protocol

from jp_llm.arch.registry import spec_of


class DecoderShape(Protocol):
    """The sizes that decide parameter shapes (`jp_llm.config.model.ModelConfig` is one)."""

    @property
    def arch(self) -> str: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def max_position_embeddings(self) -> int: ...
    @property
    def qk_norm(self) -> bool: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def key_value_heads(self) -> int: ...
    @property
    def mlp_size(self) -> int: ...
    @property
    def padded_vocab_size(self) -> int: ...
    @property
    def tied(self) -> bool: ...


def parameter_shapes(shape: DecoderShape) -> dict[str, tuple[int, ...]]:
    """Every parameter of the whole model, in the order of the forward pass; a tied head is not listed."""
    spec = spec_of(shape.arch)
    hidden = shape.hidden_size
    result: dict[str, tuple[int, ...]] = {"embedding.weight": (shape.padded_vocab_size, hidden)}
    if spec.positions == "learned":
        result["positions.weight"] = (shape.max_position_embeddings, hidden)

    def linear(name: str, size_out: int, size_in: int) -> None:
        result[f"{name}.weight"] = (size_out, size_in)
        if spec.bias:
            result[f"{name}.bias"] = (size_out,)

    def norm(name: str) -> None:
        result[f"{name}.weight"] = (hidden,)
        if spec.norm == "layer_norm":
            result[f"{name}.bias"] = (hidden,)

    query = shape.num_attention_heads * shape.head_dim
    key_value = shape.key_value_heads * shape.head_dim
    for index in range(shape.num_layers):
        layer = f"layers.{index}"
        norm(f"{layer}.attention_norm")
        linear(f"{layer}.attention.q", query, hidden)
        linear(f"{layer}.attention.k", key_value, hidden)
        linear(f"{layer}.attention.v", key_value, hidden)
        if shape.qk_norm:
            result[f"{layer}.attention.q_norm.weight"] = (shape.num_attention_heads, shape.head_dim)
            result[f"{layer}.attention.k_norm.weight"] = (shape.key_value_heads, shape.head_dim)
        linear(f"{layer}.attention.o", hidden, query)
        if spec.residual != "parallel_one_norm":
            norm(f"{layer}.mlp_norm")
        if spec.mlp == "swiglu":
            linear(f"{layer}.mlp.gate", shape.mlp_size, hidden)
        linear(f"{layer}.mlp.up", shape.mlp_size, hidden)
        linear(f"{layer}.mlp.down", hidden, shape.mlp_size)
    norm("final_norm")
    if not shape.tied:
        result["head.weight"] = (shape.padded_vocab_size, hidden)
    return result
