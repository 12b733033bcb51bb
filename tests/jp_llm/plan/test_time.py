"""Seconds of a step against counts that are made elsewhere: FLOPs, bytes of docs/parallelism.md, bubble."""

from dataclasses import fields
from typing import Any

import pytest
from clusters import ideal
from tiny import run_config

from jp_llm.config.arithmetic import bubble, flops_per_token, num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.time import step_time

DATA = 8


def config(**changes: Any) -> RunConfig:
    return run_config(**{"train__precision": "bf16", "train__global_batch_size": 64, **changes})


def tokens(run: RunConfig) -> int:
    return run.train.global_batch_size * run.seq_length


@pytest.mark.parametrize("arch", ["gpt2", "neox", "llama", "palm"])
@pytest.mark.parametrize(("tensor", "data"), [(1, 1), (2, 1), (1, 4), (4, 2)])
def test_computation_is_the_flops_of_the_architecture(arch: str, tensor: int, data: int) -> None:
    run = config(model__arch=arch, parallel__tensor=tensor)
    time = step_time(run, Layout(tensor, data), ideal(peak_tflops=1e-6))
    flops = tokens(run) * flops_per_token(run.model, run.seq_length)
    if arch == "palm":
        # The one key/value head is on every tensor rank.
        key_value = 2 * run.model.head_dim * run.model.hidden_size * run.model.num_layers
        flops += 6 * tokens(run) * (tensor - 1) * key_value
    assert time.total * 1e6 * tensor * data == pytest.approx(flops, rel=1e-6)


@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_recomputation_is_a_third_of_the_blocks(arch: str) -> None:
    run = config(model__arch=arch, train__activation_checkpointing=True)
    time = step_time(run, Layout(), ideal(peak_tflops=1e-6))
    head = 6 * run.model.padded_vocab_size * run.model.hidden_size
    blocks = flops_per_token(run.model, run.seq_length) - head
    assert time.recomputation * 1e6 == pytest.approx(tokens(run) * blocks / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "per_step", "per_micro_batch"),
    [
        ({"parallel__zero_stage": 1}, 10, 0),
        ({"parallel__zero_stage": 1, "parallel__reduce_precision": "bf16"}, 6, 0),
        ({"parallel__zero_stage": 2}, 2, 4),
        ({"parallel__zero_stage": 2, "parallel__reduce_precision": "bf16"}, 2, 2),
        ({"parallel__zero_stage": 3, "parallel__gather": "per_step"}, 2, 4),
        ({"parallel__zero_stage": 3, "parallel__gather": "per_micro_batch"}, 0, 8),
        ({"parallel__zero_stage": 0, "train__precision": "fp32"}, 8, 0),
    ],
)
def test_data_parallel_traffic_is_that_of_the_table(
    changes: dict[str, Any], per_step: int, per_micro_batch: int
) -> None:
    """docs/parallelism.md, "ZeRO stage and gathering", times (D - 1) / D."""
    run = config(**changes)
    time = step_time(run, Layout(data=DATA), ideal(intra_node_gb_per_second=1e-9))
    expected = (per_step + per_micro_batch * run.num_micro_batches(DATA)) * num_parameters(run.model)
    assert run.num_micro_batches(DATA) > 1
    assert time.data == pytest.approx(expected * (DATA - 1) / DATA)
    assert time.total == pytest.approx(time.data)


def test_overlap_hides_a_share_of_the_shorter_of_traffic_and_computation() -> None:
    run = config(parallel__zero_stage=3)
    slow = {"peak_tflops": 1e-6, "intra_node_gb_per_second": 1e-7}
    open_, hidden = (step_time(run, Layout(data=DATA), ideal(**slow, overlap=share)) for share in (0, 1))
    assert hidden.data == pytest.approx(max(0, open_.data - open_.computation))
    half = step_time(run, Layout(data=DATA), ideal(**slow, overlap=0.5))
    assert half.data == pytest.approx((open_.data + hidden.data) / 2)


@pytest.mark.parametrize(("arch", "collectives"), [("gpt2", 8), ("neox", 6), ("palm", 4)])
@pytest.mark.parametrize("recompute", [False, True])
def test_tensor_traffic_is_that_of_the_blocks(arch: str, collectives: int, recompute: bool) -> None:
    """Gathers and scatters of jp_llm/model/block.py, forward and backward; two for the embedding, two for the loss."""
    run = config(model__arch=arch, parallel__tensor=4, train__activation_checkpointing=recompute)
    time = step_time(run, Layout(tensor=4), ideal(intra_node_gb_per_second=1e-9))
    again = 1.5 if recompute else 1
    count = run.model.num_layers * collectives * again
    ends = 2 * 2 * again
    hidden = 2 * tokens(run) * run.model.hidden_size
    assert time.total == pytest.approx((count + ends) * hidden * 3 / 4)


@pytest.mark.parametrize(("virtual", "micro_batch"), [(1, 2), (2, 2), (1, 8), (2, 4)])
def test_the_bubble_is_that_of_the_schedule(virtual: int, micro_batch: int) -> None:
    run = config(
        model__num_layers=8, model__hidden_size=512, model__intermediate_size=2048, model__vocab_size=1,
        parallel__pipeline=4, parallel__virtual_stages=virtual, train__micro_batch_size=micro_batch,
    )  # fmt: skip
    time = step_time(run, Layout(pipeline=4), ideal(peak_tflops=1))
    assert time.bubble / time.total == pytest.approx(bubble(4, virtual, run.num_micro_batches(1)))


def test_messages_between_stages_are_hidden_states_and_their_gradients() -> None:
    run = config(parallel__pipeline=2)
    time = step_time(run, Layout(pipeline=2), ideal(intra_node_gb_per_second=1e-9))
    assert time.pipeline == pytest.approx(2 * 2 * tokens(run) * run.model.hidden_size)


def test_the_optimizer_moves_its_state_once_and_over_the_link_when_offloaded() -> None:
    run = config(parallel__zero_stage=2)
    here = step_time(run, Layout(data=DATA), ideal(memory_gb_per_second=1e-9))
    assert here.optimizer == pytest.approx(52 * num_parameters(run.model) / DATA)
    offloaded = config(parallel__zero_stage=2, parallel__offload_optimizer=True)
    there = step_time(offloaded, Layout(data=DATA), ideal(host_link_gb_per_second=1e-9))
    assert there.optimizer == pytest.approx((4 + 2) * num_parameters(run.model) / DATA)


def test_small_products_and_kernels_cost_more_than_their_flops() -> None:
    run = config()
    quick = step_time(run, Layout(), ideal(peak_tflops=1e-6)).total
    waves = step_time(run, Layout(), ideal(peak_tflops=1e-6, wave_outputs=1000)).total
    assert quick < waves < 1.5 * quick
    launched = step_time(run, Layout(), ideal(launch_microseconds=1e6))
    assert launched.total == pytest.approx(3 * 25 * run.model.num_layers * run.num_micro_batches(1))


def test_parts_add_up() -> None:
    run = config(model__num_layers=4, parallel__tensor=2, parallel__pipeline=2, train__activation_checkpointing=True)
    time = step_time(
        run, Layout(2, 2, 2), ideal(peak_tflops=1e-6, memory_gb_per_second=1e-3, intra_node_gb_per_second=1e-3)
    )
    parts = [getattr(time, field.name) for field in fields(time)]
    assert all(part > 0 for part in parts)
    assert time.total == pytest.approx(sum(parts))
    assert time.communication == pytest.approx(time.tensor + time.pipeline + time.data)
