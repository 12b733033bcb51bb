"""The division of layers against hand-computed cases and against all divisions there are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.config.arithmetic import block_flops_per_token, flops_per_token, head_flops_per_token
from jp_llm.config.model import ModelConfig
from jp_llm.config.stages import divide
from jp_llm.runtime.errors import UserError


def model(num_layers: int, vocab_size: int, arch: str = "gpt2") -> ModelConfig:
    """gpt2, hidden size 64: a block costs 6 x (12 x 64^2 + 64 T), i.e. 6 x 49,152 at T = 0."""
    return ModelConfig(
        arch=arch, hidden_size=64, num_attention_heads=4, num_layers=num_layers, vocab_size=vocab_size, size="test"
    )


def counts(model: ModelConfig, num_stages: int, num_chunks: int = 1, seq_length: int = 0) -> list[int]:
    return [len(stage.layers) for stage in divide(model, num_stages, num_chunks, seq_length)]


@pytest.mark.parametrize(
    ("num_layers", "vocab_size", "num_stages", "expected"),
    [
        (5, 128, 1, [5]),
        (8, 128, 4, [2, 2, 2, 2]),  # a head of a sixth of a block changes nothing
        (8, 768, 4, [2, 2, 3, 1]),  # the head weighs one block: 3, 2, 2, 2 in any order, fewer where it stands
        (8, 1536, 4, [2, 2, 3, 1]),  # two blocks: one of the others takes a third, not the one with the embedding
        (9, 128, 4, [2, 2, 3, 2]),
        (4, 76800, 4, [1, 1, 1, 1]),
        (5, 76800, 4, [1, 1, 2, 1]),
    ],
)
def test_cases_by_hand(num_layers: int, vocab_size: int, num_stages: int, expected: list[int]) -> None:
    assert counts(model(num_layers, vocab_size), num_stages) == expected


@given(
    num_layers=st.integers(1, 14),
    num_stages=st.integers(1, 4),
    num_chunks=st.integers(1, 3),
    vocab_size=st.sampled_from([128, 384, 768, 1024, 1536, 2304, 8000]),
    seq_length=st.sampled_from([0, 64, 1000]),
    recompute=st.booleans(),
)
def test_no_other_division_is_better(
    num_layers: int, num_stages: int, num_chunks: int, vocab_size: int, seq_length: int, recompute: bool
) -> None:
    parts = num_stages * num_chunks
    shape = model(num_layers, vocab_size)
    if num_layers < parts:
        with pytest.raises(UserError, match=r"parallel.pipeline.*virtual_stages"):
            divide(shape, num_stages, num_chunks, seq_length)
        return
    found = divide(shape, num_stages, num_chunks, seq_length, recompute=recompute)
    assert [layer for stage in found for layer in stage.layers] == list(range(num_layers))
    assert [stage.embedding for stage in found] == [part == 0 for part in range(parts)]
    assert [stage.head for stage in found] == [part == parts - 1 for part in range(parts)]
    block, head = block_flops_per_token(shape, seq_length), head_flops_per_token(shape)
    assert num_layers * block + head == flops_per_token(shape, seq_length)
    if recompute:
        block = block * 8 // 6

    def quality(sizes: tuple[int, ...]) -> tuple[list[int], int, int]:
        costs = [size * block + head * (part == parts - 1) for part, size in enumerate(sizes)]
        return sorted(costs, reverse=True), sizes[-1], sizes[0]

    cuts = itertools.combinations(range(1, num_layers), parts - 1)
    every = (tuple(b - a for a, b in itertools.pairwise((0, *inner, num_layers))) for inner in cuts)
    sizes = tuple(len(stage.layers) for stage in found)
    assert quality(sizes) == min(map(quality, every))
    assert quality(sizes)[0] == sorted((stage.flops_per_token for stage in found), reverse=True)


@pytest.mark.parametrize(
    ("num_stages", "recompute", "expected", "balance"),
    [
        # gpt2, T = 2048, vocabulary 64,000: the head weighs 1.008 blocks, 0.756 where blocks are recomputed.
        (4, False, [10, 10, 11, 9], 0.932),
        (8, False, [5, 5, 5, 5, 5, 5, 6, 4], 0.855),
        (16, False, [2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1], 0.854),
        (4, True, [10, 10, 10, 10], 0.947),
        (8, True, [5, 5, 5, 5, 5, 5, 5, 5], 0.885),
        (16, True, [2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 2], 0.849),
    ],
)
def test_balance_of_the_13b(num_stages: int, recompute: bool, expected: list[int], balance: float) -> None:
    shape = ModelConfig(arch="gpt2", hidden_size=5120, num_layers=40, num_attention_heads=40, vocab_size=64000)
    found = divide(shape, num_stages, 1, 2048, recompute=recompute)
    assert [len(stage.layers) for stage in found] == expected
    costs = [stage.flops_per_token for stage in found]
    assert sum(costs) / (num_stages * max(costs)) == pytest.approx(balance, abs=1e-3)
