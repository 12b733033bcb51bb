"""Transforms against their definition by index, and against their inverse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jp_llm.arch import registry
from jp_llm.arch.huggingface import name_rules
from jp_llm.arch.parameters import parameter_shapes
from jp_llm.arch.spec import NameRule, Transform
from jp_llm.config.model import ModelConfig
from jp_llm.huggingface import transforms


def model(arch: str, heads: int, head_dim: int, **overrides: object) -> ModelConfig:
    values = {
        "arch": arch,
        "hidden_size": heads * head_dim,
        "num_layers": 1,
        "num_attention_heads": heads,
        "vocab_size": 130,
        "max_position_embeddings": 8,
    }
    return ModelConfig.model_validate(values | overrides)


def numbered(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).view(shape)


def rule(transform: Transform, *sources: str) -> NameRule:
    return NameRule("key", sources or ("source",), transform)


@settings(max_examples=30, deadline=None)
@given(
    arch=st.sampled_from(registry.names()),
    heads=st.integers(1, 4),
    head_dim=st.sampled_from([8, 16, 24]),
    qk_norm=st.booleans(),
    one_head=st.booleans(),
)
def test_restore_inverts_export(arch: str, heads: int, head_dim: int, qk_norm: bool, one_head: bool) -> None:
    spec = registry.spec_of(arch)
    config = model(
        arch,
        heads,
        head_dim,
        qk_norm=qk_norm and spec.qk_norm,
        num_key_value_heads=1 if one_head and spec.grouped_heads else heads,
    )
    assert not config.problems()
    shapes = parameter_shapes(config)
    for each in name_rules(config):
        sources = [numbered(*shapes[name]) for name in each.sources]
        if each.transform == "vocabulary":
            sources = [source.index_fill(0, torch.arange(130, source.shape[0]), 0) for source in sources]
        tensor = transforms.export(each, sources, config)
        for source, restored in zip(sources, transforms.restore(each, tensor, config), strict=True):
            assert torch.equal(source, restored), each
        again = transforms.export(each, transforms.restore(each, tensor, config), config)
        assert torch.equal(tensor, again)


def test_vocabulary_is_cut_to_the_ids_in_use() -> None:
    config = model("llama", 1, 4)
    assert transforms.export(rule("vocabulary"), [numbered(256, 4)], config).shape == (130, 4)


def test_gpt2_columns_are_q_then_k_then_v() -> None:
    config = model("gpt2", 2, 4)
    q, k, v = numbered(8, 8), 100 + numbered(8, 8), 200 + numbered(8, 8)
    weight = transforms.export(rule("qkv_columns", "q", "k", "v"), [q, k, v], config)
    assert weight.shape == (8, 24)
    for column in range(8):
        assert torch.equal(weight[:, column], q[column])
        assert torch.equal(weight[:, 8 + column], k[column])
        assert torch.equal(weight[:, 16 + column], v[column])


@pytest.mark.parametrize("inputs", [(6,), ()], ids=["weight", "bias"])
def test_neox_rows_are_head_then_qkv_then_dimension(inputs: tuple[int, ...]) -> None:
    config = model("neox", 3, 2)
    qkv = [numbered(6, *inputs) + 1000 * which for which in range(3)]
    fused = transforms.export(rule("qkv_heads", "q", "k", "v"), qkv, config)
    for head in range(3):
        for which in range(3):
            for dim in range(2):
                assert torch.equal(fused[head * 6 + which * 2 + dim], qkv[which][head * 2 + dim])


def test_interleaved_puts_rotary_pairs_side_by_side() -> None:
    config = model("palm", 2, 6)
    half = numbered(12, 5)
    rows = transforms.export(rule("interleaved_rows"), [half], config)
    norm = numbered(2, 6)
    columns = transforms.export(rule("interleaved_columns"), [norm], config)
    for head in range(2):
        for pair in range(3):
            assert torch.equal(rows[head * 6 + 2 * pair], half[head * 6 + pair])
            assert torch.equal(rows[head * 6 + 2 * pair + 1], half[head * 6 + pair + 3])
            assert columns[head, 2 * pair] == norm[head, pair]
            assert columns[head, 2 * pair + 1] == norm[head, pair + 3]
