"""Derived numbers against torch's own counters."""

import pytest
import torch
from tiny import run_config
from torch.utils.flop_counter import FlopCounterMode

from jp_llm.config.arithmetic import (
    bubble,
    flops_per_token,
    num_embedding_parameters,
    num_parameters,
    peak_flops,
)
from jp_llm.model.decoder import Decoder


@pytest.mark.parametrize("arch", ["gpt2", "neox", "llama", "palm"])
def test_flops_are_what_torch_counts(arch: str) -> None:
    model = run_config(model__arch=arch).model
    decoder = Decoder(model)
    tokens = torch.zeros((2, 16), dtype=torch.long)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        decoder.logits(decoder(tokens)).sum().backward()
    # torch counts full attention; ours counts the causal half.
    attention = 6 * model.num_layers * model.hidden_size * 16
    assert counter.get_total_flops() / tokens.numel() == pytest.approx(flops_per_token(model, 16) + attention, rel=0.01)


@pytest.mark.parametrize("arch", ["gpt2", "neox", "llama", "palm"])
def test_parameters_are_those_of_the_module(arch: str) -> None:
    model = run_config(model__arch=arch).model
    decoder = Decoder(model)
    assert num_parameters(model) == sum(parameter.numel() for parameter in decoder.parameters())
    in_layers = sum(p.numel() for name, p in decoder.named_parameters() if name.startswith(("layers", "final_norm")))
    assert num_parameters(model) - num_embedding_parameters(model) == in_layers


@pytest.mark.parametrize(
    ("stages", "parts", "micro_batches", "share"),
    [(1, 1, 4, 0), (4, 1, 4, 3 / 7), (4, 1, 29, 3 / 32), (4, 2, 8, 3 / 19)],
)
def test_the_bubble(stages: int, parts: int, micro_batches: int, share: float) -> None:
    assert bubble(stages, parts, micro_batches) == pytest.approx(share)


def test_peaks_are_found_by_the_name_that_cuda_gives() -> None:
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("Unheard-of 1") is None
