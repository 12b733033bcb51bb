"""All memory of a process: by hand, against DeepSpeed's own settings, and how it moves with the layout."""

from dataclasses import fields
from typing import Any

import pytest
from gloo import Processes
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import run_config
from training import build_engine

from jp_llm.checkpoint.host_copy import HostCopy
from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.memory import (
    REDUCE_BUCKET,
    backward_bytes,
    loss_bytes,
    stage_activation_bytes,
)
from jp_llm.plan.memory import COMMUNICATOR, MARGIN, RUNTIME, RankMemory, communicators, rank_memory, stage_memory

LARGE: dict[str, Any] = {
    "model__hidden_size": 1024,
    "model__num_layers": 16,
    "model__num_attention_heads": 16,
    "model__intermediate_size": 4096,
    "model__max_position_embeddings": 1024,
    "model__vocab_size": 32_000,
    "train__global_batch_size": 512,
}


def test_one_process_in_fp32_by_hand() -> None:
    config = run_config(parallel__zero_stage=0, checkpoint__asynchronous=False)
    parameters = num_parameters(config.model)
    memory = rank_memory(config, Layout(), device="cpu")
    assert (memory.weights, memory.gradients, memory.optimizer) == (4 * parameters, 4 * parameters, 8 * parameters)
    assert (memory.tied, memory.gathered, memory.communication, memory.step) == (0, 0, 0, 0)
    assert (memory.runtime, memory.margin, memory.host) == (RUNTIME["cpu"], 0, 0)
    assert memory.loss == loss_bytes(config, Layout())
    kept = stage_activation_bytes(config, Layout(), 0, checkpointing=False, device="cpu")
    beyond = max(0, backward_bytes(config, Layout(), checkpointing=False, device="cpu") - memory.loss)
    assert memory.activations == kept + beyond
    assert memory.total == 16 * parameters + memory.activations + memory.loss + RUNTIME["cpu"]


def test_the_only_backward_pass_of_a_step_brings_gradients_as_activations_go() -> None:
    one, two = (run_config(**LARGE | {"train__global_batch_size": size}, parallel__zero_stage=0) for size in (2, 4))
    parameters = num_parameters(one.model)
    alone, several = (rank_memory(config, Layout(), device="cpu") for config in (one, two))
    assert (alone.gradients, several.gradients) == (0, 4 * parameters)
    passing = alone.activations + alone.loss
    assert alone.step == max(0, 4 * parameters - passing)
    assert alone.total == several.total - several.gradients - passing + max(passing, 4 * parameters)
    # ZeRO-3 keeps a buffer for them, BF16_Optimizer the fp32 sums.
    for values, kept in (
        ({"parallel__zero_stage": 3}, 4),
        ({"parallel__zero_stage": 1, "train__precision": "bf16"}, 4),
    ):
        config = run_config(**LARGE | values | {"train__global_batch_size": 2})
        assert rank_memory(config, Layout()).gradients == kept * parameters


def test_the_optimizer_step_counts_where_it_is_the_fullest_moment() -> None:
    config = run_config(**LARGE | {"train__micro_batch_size": 1, "train__global_batch_size": 2}, train__seq_length=16)
    config = config.model_copy(update={"parallel": config.parallel.model_copy(update={"zero_stage": 1})})
    memory, parameters = rank_memory(config, Layout()), num_parameters(config.model)
    assert memory.step > 0
    assert memory.step + memory.activations + memory.loss == 4 * parameters


def test_offloading_moves_the_optimizer_of_a_gpu_and_nothing_on_a_cpu() -> None:
    layout = Layout(1, 4, 1)
    here, there = (
        run_config(**LARGE, parallel__zero_stage=2, parallel__offload_optimizer=offload) for offload in (False, True)
    )
    share = -(-num_parameters(here.model) // 4)
    before, after = rank_memory(here, layout), rank_memory(there, layout)
    assert after.optimizer == 0
    assert after.host == pytest.approx(before.host + 16 * share, abs=16)
    assert after.total < before.total
    assert before.host == 12 * share  # the copy of an asynchronous checkpoint
    on_cpu = rank_memory(there, layout, device="cpu")
    assert (on_cpu.host, on_cpu.optimizer) == (0, before.optimizer)
    assert on_cpu.runtime == RUNTIME["cpu"] + 12 * share


def test_gpus_add_buckets_communicators_and_a_margin() -> None:
    config = run_config(**LARGE, parallel__zero_stage=3, train__precision="bf16")
    parameters = num_parameters(config.model)
    assert parameters > REDUCE_BUCKET
    memory = rank_memory(config, Layout(1, 8, 1))
    # The bucket and the copy of it that is reduced, in fp32; data parallel and world.
    assert memory.communication == 2 * 4 * REDUCE_BUCKET + 2 * COMMUNICATOR
    rest = sum(getattr(memory, field.name) for field in fields(RankMemory) if field.name not in ("margin", "host"))
    assert memory.margin == round(MARGIN["cuda"] * rest)
    assert memory.total == rest + memory.margin
    assert [communicators(Layout(*sizes)) for sizes in ((1, 1, 1), (1, 8, 1), (2, 1, 1), (2, 2, 2))] == [0, 2, 2, 6]
    smaller = run_config(**LARGE, parallel__zero_stage=3, train__precision="bf16", parallel__reduce_precision="bf16")
    assert rank_memory(smaller, Layout(1, 8, 1)).communication == 2 * 2 * REDUCE_BUCKET + 2 * COMMUNICATOR


@given(
    zero_stage=st.integers(0, 3),
    tensor=st.sampled_from([1, 2, 4]),
    pipeline=st.sampled_from([1, 2, 4]),
    virtual_stages=st.integers(1, 3),
    data=st.sampled_from([1, 2, 8]),
    micro_batch_size=st.sampled_from([1, 2, 4]),
    precision=st.sampled_from(["fp32", "bf16"]),
    checkpointing=st.booleans(),
    arch=st.sampled_from(["gpt2", "neox", "llama", "palm"]),
)
@settings(max_examples=100, deadline=None)
def test_the_fullest_process_is_that_of_all_stages_and_more_division_needs_less(
    zero_stage: int,
    tensor: int,
    pipeline: int,
    virtual_stages: int,
    data: int,
    micro_batch_size: int,
    precision: str,
    checkpointing: bool,
    arch: str,
) -> None:
    def memory(tensor: int = tensor, zero_stage: int = zero_stage, checkpointing: bool = checkpointing) -> RankMemory:
        config = run_config(
            **LARGE | {"train__micro_batch_size": micro_batch_size, "train__global_batch_size": 64},
            model__arch=arch,
            train__precision=precision,
            train__activation_checkpointing=checkpointing,
            parallel__zero_stage=zero_stage,
            parallel__tensor=tensor,
            parallel__pipeline=pipeline,
            parallel__virtual_stages=virtual_stages if pipeline > 1 else 1,
        )
        layout = Layout(tensor, data, pipeline)
        fullest = rank_memory(config, layout)
        assert fullest.total == max(stage_memory(config, layout, rank).total for rank in range(pipeline))
        first = stage_memory(config, layout, 0, device="cpu")
        assert all(getattr(memory, field.name) >= 0 for memory in (fullest, first) for field in fields(RankMemory))
        return first

    here = memory()
    state = here.weights + here.gradients + here.optimizer
    if zero_stage < 3 and data > 1:
        deeper = memory(zero_stage=zero_stage + 1)
        assert deeper.weights + deeper.gradients + deeper.optimizer <= state + 4
    if tensor < 4:
        divided = memory(tensor=2 * tensor)
        assert divided.weights < here.weights
        assert divided.total < here.total
    if not checkpointing and pipeline == 1:  # a pipeline is cut elsewhere where blocks are computed again
        assert memory(checkpointing=True).total <= here.total


def test_more_in_a_micro_batch_needs_more() -> None:
    totals = [
        rank_memory(run_config(**LARGE | {"train__micro_batch_size": size}), Layout()).total for size in (1, 2, 4, 8)
    ]
    assert totals == sorted(set(totals))


def bucket_and_copy(cases: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Of engines: the bucket that DeepSpeed was configured with, and bytes of the copy for asynchronous saves."""
    found = []
    for values in cases:
        engine = build_engine(run_config(**values))
        copy = HostCopy(list(engine.owned_state()))
        found.append((engine.zero.settings["zero_optimization"]["reduce_bucket_size"], 4 * copy._flat.numel()))
    return found


@pytest.mark.distributed
def test_bucket_and_checkpoint_copy_are_those_of_an_engine(two_processes: Processes) -> None:
    cases = [{"parallel__zero_stage": stage, "train__precision": "fp32"} for stage in range(4)]
    for found in zip(*two_processes.run(bucket_and_copy, cases), strict=True):
        assert {bucket for bucket, _ in found} == {REDUCE_BUCKET}
    of_rank_0 = two_processes.run(bucket_and_copy, cases)[0]
    for case, (_, copied) in zip(cases, of_rank_0, strict=True):
        # Shares differ by the padding of a few parameters.
        assert rank_memory(run_config(**case), Layout(1, 2, 1)).host == pytest.approx(copied, rel=0.01)
