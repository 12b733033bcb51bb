"""Derived numbers against torch's own counters."""

import pytest
import torch
from tiny import run_config
from torch.utils.flop_counter import FlopCounterMode

from jp_llm.config.arithmetic import (
    flops_per_token,
    num_embedding_parameters,
    num_parameters,
    peak_flops,
    state_bytes_per_process,
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


def test_state_bytes_by_stage() -> None:
    # ZeRO (Rajbhandari et al. 2020), figure 1, with fp32 gradients: 18 bytes per parameter undivided.
    assert state_bytes_per_process(1000, 1, "bf16", 1) == 18000
    assert state_bytes_per_process(1000, 1, "bf16", 4) == 2000 + 4000 + 3000
    assert state_bytes_per_process(1000, 2, "bf16", 4) == 2000 + 1000 + 3000
    assert state_bytes_per_process(1000, 3, "bf16", 4) == 500 + 1000 + 3000
    assert state_bytes_per_process(1000, 0, "fp32", 4) == 16000


def test_peaks_are_found_by_the_name_that_cuda_gives() -> None:
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("Unheard-of 1") is None
