"""The next token: what is kept, and how often it is drawn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TopPLogitsWarper

from jp_llm.generate.choice import TokenChoice, TopP, draw
from jp_llm.generate.config import SamplingConfig


def draws(logits: list[float], sampling: SamplingConfig, rows: int) -> torch.Tensor:
    """Share of each id among `rows` draws."""
    choose = TokenChoice(sampling, never=set(), ends=set())
    chances = torch.rand(rows, generator=torch.Generator().manual_seed(0)).tolist()
    chosen = choose(torch.tensor(logits).repeat(rows, 1), [[0]] * rows, [True] * rows, chances)
    return torch.bincount(torch.tensor(chosen), minlength=len(logits)) / rows


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (SamplingConfig(temperature=1.0, top_p=1.0), 5),
        (SamplingConfig(temperature=0.5, top_p=1.0), 5),
        (SamplingConfig(temperature=2.0, top_p=1.0, top_k=3), 3),
        (SamplingConfig(temperature=1.0, top_p=0.75), 2),
        (SamplingConfig(temperature=1.0, top_p=1.0, min_p=0.2), 3),
        # Entropy 1.22; surprises 0.69, 1.20, 2.12, 2.81, 3.91: nearest first 0.3, then 0.5.
        (SamplingConfig(temperature=1.0, top_p=1.0, typical_p=0.7), 2),
    ],
    ids=["plain", "cold", "top-k", "top-p", "min-p", "typical"],
)
def test_draws_follow_the_probabilities(sampling: SamplingConfig, kept: int) -> None:
    # Probabilities 0.5, 0.3, 0.12, 0.06, 0.02 at temperature 1.
    logits = [math.log(p) for p in (0.02, 0.5, 0.12, 0.3, 0.06)]
    scaled = torch.tensor(logits) / sampling.temperature
    scaled[scaled.argsort(descending=True)[kept:]] = -math.inf
    expected = scaled.softmax(0)
    rows = 20_000
    error = (expected * (1 - expected) / rows).sqrt()
    assert ((draws(logits, sampling, rows) - expected).abs() <= 4 * error).all()


@given(seed=st.integers(0, 1000), top_p=st.floats(0.01, 0.999), scale=st.floats(0.1, 20), head=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_top_p_keeps_what_transformers_keeps(seed: int, top_p: float, scale: float, head: int) -> None:
    """With a head that is too small for some rows, too."""
    logits_BV = torch.randn(6, 50, generator=torch.Generator().manual_seed(seed)) * scale
    logits_BV[0, ::3] = -math.inf
    theirs = TopPLogitsWarper(top_p)(None, logits_BV.clone())
    ours = TopP(top_p, head)(None, logits_BV)
    # The two sum in different orders: where a sum is top_p but for rounding, they may differ in one token.
    different = (theirs.isinf() != ours.isinf()).sum(1)
    order = logits_BV.softmax(1).sort(dim=1, descending=True).values.cumsum(1)
    close = ((order - top_p).abs() < 1e-5).any(1)
    assert ((different == 0) | close).all()
    assert torch.equal(ours[~ours.isinf()], logits_BV[~ours.isinf()])


def test_no_chance_falls_on_what_cannot_be() -> None:
    logits_BV = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]]).repeat(4, 1)
    assert draw(logits_BV, [0.0, 0.49, 0.51, 1 - 2**-24]) == [1, 1, 3, 3]


def test_ends_and_forbidden_ids() -> None:
    choose = TokenChoice(SamplingConfig(do_sample=False), never={3}, ends={2})
    logits_BV = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).repeat(2, 1)
    assert choose(logits_BV, [[0], [0]], [False, True], [0.0, 0.0]) == [1, 2]
    assert logits_BV[0].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_penalty_counts_a_token_once_and_neighbours_do_not_change_it() -> None:
    choose = TokenChoice(
        SamplingConfig(do_sample=False, repetition_penalty=2.0, repetition_window=3), never=set(), ends=set()
    )
    logits_BV = torch.tensor([[3.0, 2.0, 1.4]]).repeat(3, 1)
    # Row 1: 0 occurred (3 -> 1.5). Row 2: 0 and 1 did (1.5, 1.0, 1.4). Row 3: 0 lies behind the window.
    histories = [[0, 0], [0, 1, 0], [0, 1, 2, 2]]
    assert choose(logits_BV, histories, [True] * 3, [0.0] * 3) == [1, 0, 0]
    for row, expected in enumerate([1, 0, 0]):
        assert choose(logits_BV[:1], histories[row : row + 1], [True], [0.0]) == [expected]
