"""Bytes per process against the modules themselves, and against what autograd keeps."""

from itertools import accumulate
from typing import Any

import pytest
import torch
import torch.distributed
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import run_config
from torch import Tensor

from jp_llm.config.layout import Layout
from jp_llm.config.memory import (
    GATHERED_PARTS,
    backward_bytes,
    block_activation_bytes,
    chunks,
    gathered_bytes,
    hidden_bytes,
    in_flight,
    loss_bytes,
    part_activation_bytes,
    rank_parameters,
    stage_activation_bytes,
    stage_state,
    state_bytes,
)
from jp_llm.config.run import RunConfig
from jp_llm.engine.pipeline.one_f_one_b import schedule
from jp_llm.model.block import Block
from jp_llm.model.decoder import Decoder
from jp_llm.model.positions import document_mask, rotary_tables
from jp_llm.parallel.tensor import TensorAxis

ARCHITECTURES = ["gpt2", "neox", "llama", "palm"]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("tensor", [1, 2, 4])
def test_parameters_of_a_rank_are_those_of_its_module(arch: str, tensor: int) -> None:
    values: dict[str, Any] = {"model__arch": arch, "model__num_layers": 5, "parallel__pipeline": 2}
    if arch in ("llama", "palm"):
        values["model__num_key_value_heads"] = 2
    config = run_config(**values, model__qk_norm=arch == "palm", parallel__virtual_stages=2)
    for part in [part for stage in chunks(config) for part in stage]:
        for rank in range(tensor):
            with torch.device("meta"):
                decoder = Decoder(
                    config.model,
                    TensorAxis(rank, tensor),
                    layers=part.layers,
                    embedding=part.embedding,
                    head=part.head,
                )
            expected = sum(parameter.numel() for parameter in decoder.parameters())
            assert rank_parameters(config.model, tensor, part) == expected


def test_state_bytes_by_stage() -> None:
    # ZeRO (Rajbhandari et al. 2020), figure 1, with fp32 gradients: 18 bytes per parameter undivided.
    assert state_bytes(1000, 2, "bf16", 1).total == 18000
    # BF16_Optimizer zeroes the bf16 gradients (`clear_lp_grads`) but never lets them go.
    assert state_bytes(1000, 1, "bf16", 1).total == 20000
    assert state_bytes(1000, 0, "bf16", 4) == state_bytes(1000, 1, "bf16", 4)
    assert state_bytes(1000, 1, "bf16", 4).total == 2000 + 6000 + 3000
    assert state_bytes(1000, 1, "fp32", 4).total == 4000 + 4000 + 3000
    assert state_bytes(1000, 2, "bf16", 4).total == 2000 + 1000 + 3000
    assert state_bytes(1000, 3, "bf16", 4).total == 500 + 1000 + 3000
    assert state_bytes(1000, 0, "fp32", 4).total == 16000


def test_a_tied_embedding_costs_a_copy_and_two_buffers_that_data_parallelism_does_not_divide() -> None:
    config = run_config(
        model__arch="palm", model__num_layers=4, train__precision="bf16", parallel__pipeline=4, parallel__zero_stage=3
    )
    layout = Layout(2, 8, 4)
    shared = 512 // 2 * 32
    assert [stage_state(config, layout, stage).tied for stage in range(4)] == [4 * shared, 0, 0, 6 * shared]
    untied = run_config(model__arch="llama", model__num_layers=4, parallel__pipeline=4)
    assert {stage_state(untied, layout, stage).tied for stage in range(4)} == {0}
    assert stage_state(run_config(model__arch="palm"), Layout(2, 8, 1), 0).tied == 0


def test_what_zero_3_gathers() -> None:
    layout = Layout(1, 4, 1)
    assert gathered_bytes(run_config(parallel__zero_stage=2), layout, 10**9) == 0
    resident = run_config(parallel__zero_stage=3, parallel__gather="per_step", train__precision="bf16")
    assert gathered_bytes(resident, layout, 10**9) == 2 * 10**9
    # The embedding, 512 x 32, is larger than a block.
    streamed = run_config(parallel__zero_stage=3)
    assert gathered_bytes(streamed, layout, 10**9) == 4 * GATHERED_PARTS * 512 * 32
    assert gathered_bytes(streamed, layout, 1000) == 4 * 1000
    # A process that shares with nobody computes with what it holds.
    assert gathered_bytes(resident, Layout(4, 1, 1), 10**9) == 0


WIDE: dict[str, Any] = {
    "model__hidden_size": 256,
    "model__num_attention_heads": 8,
    "model__intermediate_size": 640,
    "model__max_position_embeddings": 64,
}


def kept_by_autograd(config: RunConfig, tensor: int) -> int:
    """Bytes of different storages that the forward pass of one block saves, without its weights."""
    model, dtype = config.model, torch.bfloat16 if config.train.precision == "bf16" else torch.float32
    rows, length = config.train.micro_batch_size, config.seq_length
    block = Block(model, TensorAxis(0, tensor)).to(dtype)
    for parameter in block.parameters():
        torch.nn.init.ones_(parameter)
    x_BSD = torch.ones(rows, length // tensor, model.hidden_size, dtype=dtype, requires_grad=True)
    rotary = rotary_tables(torch.arange(length), model.rotary_dim, 1e4, dtype) if model.rotary_dim else None
    mask = document_mask(torch.zeros(rows, length, dtype=torch.long)) if model.document_mask else None
    found: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = block(x_BSD, rotary, mask)
    not_counted = {each.untyped_storage().data_ptr() for each in (*block.parameters(), *(rotary or ()))}
    assert output.shape == x_BSD.shape
    return sum(tensor.untyped_storage().nbytes() for key, tensor in found.items() if key not in not_counted)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize(
    "values",
    [
        {"model__arch": "gpt2"},
        {"model__arch": "neox"},
        {"model__arch": "neox", "model__parallel_residual": False},
        {"model__arch": "llama"},
        {"model__arch": "llama", "model__num_key_value_heads": 2},
        {"model__arch": "palm"},
        {"model__arch": "palm", "model__qk_norm": True},
        {"model__arch": "palm", "model__qk_norm": True, "model__document_mask": True},
        {"model__arch": "neox", "model__document_mask": True},
        {"model__arch": "palm", "model__document_mask": True},
        {"model__arch": "llama", "model__document_mask": True, "model__num_key_value_heads": 4},
    ],
    ids=str,
)
def test_a_block_keeps_what_autograd_says(
    values: dict[str, Any], tensor: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One process stands for a whole tensor group: shapes are what counts.
    monkeypatch.setattr(torch.distributed, "all_gather_into_tensor", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "reduce_scatter_tensor", lambda *_, **__: None)
    config = run_config(**(WIDE | values), train__precision=precision)
    computed = block_activation_bytes(config, Layout(tensor, 1, 1), "cpu")
    on_gpu = block_activation_bytes(config, Layout(tensor, 1, 1))
    # Two norms of which a GPU keeps input and output alone.
    copies = 0 if config.model.spec.norm != "rms_norm" else 2 if precision == "fp32" else 6
    assert computed == on_gpu + copies * hidden_bytes(config, Layout(tensor, 1, 1))
    assert kept_by_autograd(config, tensor) == pytest.approx(computed, rel=0.01)


def test_loss_and_parts() -> None:
    config = run_config(model__num_layers=5, parallel__pipeline=2, train__precision="bf16", train__loss_chunk_tokens=10)
    layout = Layout(2, 1, 2)
    tokens, hidden, rows = 2 * 16, 32, 512 // 2
    logits = 10 * rows * (2 + 4 + 2)
    assert loss_bytes(config, layout) == logits + rows * hidden * (4 + 2) + tokens * hidden * 2 * (1 / 2 + 1 + 1)
    (first,), (last,) = chunks(config)
    block, stream = block_activation_bytes(config, layout), tokens * hidden * 2 // 2
    assert part_activation_bytes(config, layout, first, checkpointing=False) == len(first.layers) * block + stream
    assert part_activation_bytes(config, layout, first, checkpointing=True) == (len(first.layers) + 1) * stream
    assert part_activation_bytes(config, layout, last, checkpointing=True) == len(last.layers) * stream


def most_in_flight(stage: int, num_stages: int, num_micro_batches: int, num_chunks: int) -> int:
    """The most passes in flight, of the order in which the engine works."""
    actions = schedule(num_stages, num_micro_batches, num_chunks)[stage]
    return max(accumulate(1 if action.kind == "forward" else -1 for action in actions))


@given(
    num_stages=st.integers(1, 8),
    num_chunks=st.integers(1, 4),
    num_micro_batches=st.integers(1, 40),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_passes_in_flight_are_those_of_the_order_of_work(
    num_stages: int, num_chunks: int, num_micro_batches: int, data: st.DataObject
) -> None:
    stage = data.draw(st.integers(0, num_stages - 1))
    computed = list(in_flight(stage, num_stages, num_micro_batches, num_chunks))
    most = most_in_flight(stage, num_stages, num_micro_batches, num_chunks)
    assert len(computed) == num_chunks
    assert sum(computed) == most


def test_activations_are_those_of_the_micro_batches_in_flight() -> None:
    config = run_config(model__num_layers=8, parallel__pipeline=4, train__global_batch_size=24)
    layout = Layout(1, 2, 4)
    sizes = [part_activation_bytes(config, layout, part, checkpointing=False) for (part,) in chunks(config)]
    # 6 micro-batches; stage s holds 4 - s of them.
    expected = [size * (4 - stage) for stage, size in enumerate(sizes)]
    assert [stage_activation_bytes(config, layout, stage, checkpointing=False) for stage in range(4)] == expected
    few = run_config(model__num_layers=8, parallel__pipeline=4, train__global_batch_size=4)
    assert stage_activation_bytes(few, layout, 0, checkpointing=False) == sizes[0]


def test_the_backward_pass_of_a_block_needs_room_and_recomputation_the_block_again() -> None:
    layout, tokens = Layout(2, 1, 1), 2 * 16
    swiglu, gelu = run_config(), run_config(model__arch="gpt2")
    # Gradients in fp32: twice 64 / 2 inside the MLP and once 32 of the stream; once 128 / 2 and twice 32.
    assert backward_bytes(swiglu, layout, checkpointing=False) == 4 * tokens * (2 * 32 + 32)
    assert backward_bytes(gelu, layout, checkpointing=False) == 4 * tokens * (64 + 2 * 32)
    again = backward_bytes(gelu, layout, checkpointing=True) - backward_bytes(gelu, layout, checkpointing=False)
    assert again == block_activation_bytes(gelu, layout)
