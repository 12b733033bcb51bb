"""Every ZeRO stage on one and two processes against a plain PyTorch loop."""

from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed
from gloo import Processes
from tiny import run_config
from training import all_cases, batch_of_step, build_engine, compare, engine_training, plain_training

from jp_llm.engine.prepare import prepare
from jp_llm.runtime.errors import UserError

# Two architectures at every stage, the others once: tied and untied heads, fused projections with and without bias.
CASES = [("llama", stage) for stage in (0, 1, 2, 3)] + [("gpt2", stage) for stage in (0, 1, 2, 3)]
CASES += [("neox", 2), ("palm", 3)]


def cases(precision: str, found: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [
        {"model__arch": arch, "parallel": {"zero_stage": stage}, "train__precision": precision} for arch, stage in found
    ]


@pytest.mark.distributed
@pytest.mark.parametrize("size", [1, 2])
def test_every_stage_trains_to_the_weights_of_a_plain_loop(
    size: int, one_process: Processes, two_processes: Processes
) -> None:
    processes = one_process if size == 1 else two_processes
    overrides = cases("fp32", CASES)
    by_rank = processes.run(all_cases, overrides)
    for index, (arch, stage) in enumerate(CASES):
        case = f"{arch}, stage {stage}, {size} processes"
        compare([found[index] for found in by_rank], run_config(**overrides[index]), case)


@pytest.mark.distributed
def test_state_in_host_memory_trains_to_the_same_weights(two_processes: Processes) -> None:
    # On a CPU this shows the way through DeepSpeed's offload, not where the tensors lie.
    overrides = [
        {"model__arch": "gpt2", "parallel": {"zero_stage": stage, "offload_optimizer": True}} for stage in (1, 2, 3)
    ]
    by_rank = two_processes.run(all_cases, overrides)
    for index, values in enumerate(overrides):
        compare([found[index] for found in by_rank], run_config(**values), str(values))


@pytest.mark.distributed
def test_bf16_stays_near_fp32(two_processes: Processes) -> None:
    found = cases("bf16", [("llama", stage) for stage in (0, 1, 2, 3)])
    expected, _ = plain_training(run_config())
    for (history, _), overrides in zip(two_processes.run(all_cases, found)[0], found, strict=True):
        torch.testing.assert_close(torch.tensor(history), torch.tensor(expected), rtol=2e-2, atol=0, msg=str(overrides))


def step_with_poison(stage: int, precision: str, offload: bool) -> tuple[bool, bool, bool, bool, bool]:
    """A gradient that is not finite on the last process only, then a sound step, as if there had been no other."""
    config = run_config(
        parallel={"zero_stage": stage, "offload_optimizer": offload},
        train__precision=precision,
    )
    undisturbed = build_engine(config)
    expected = undisturbed.train_step(batch_of_step(config, undisturbed.grid, 0), 1e-2)
    engine = build_engine(config)
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    batch = batch_of_step(config, engine.grid, 0)
    before = [state["weight"].clone() for _, state in engine.state()]
    hook = None
    if rank == size - 1:
        parameter = next(p for n, p in engine.zero.engine.module.named_parameters() if n.endswith("qkv.weight"))
        hook = parameter.register_hook(lambda gradient: gradient * float("nan"))
    poisoned = engine.train_step(batch, 1e-2)
    kept = all(torch.equal(old, state["weight"]) for old, (_, state) in zip(before, engine.state(), strict=True))
    empty = all(bool((state["exp_avg"] == 0).all()) for _, state in engine.state())
    if hook is not None:
        hook.remove()
    sound = engine.train_step(batch, 1e-2)
    return poisoned.applied, kept, empty, sound.applied, sound.grad_norm == pytest.approx(expected.grad_norm, rel=1e-5)


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("stage", "precision", "offload"),
    [
        (stage, precision, offload)
        for stage, precision in [(0, "fp32"), (1, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16")]
        for offload in ([False, True] if stage else [False])
    ],
)
def test_a_gradient_that_is_not_finite_anywhere_skips_the_update_everywhere(
    stage: int, precision: str, offload: bool, two_processes: Processes
) -> None:
    expected = (False, True, True, True, True)
    assert two_processes.run(step_with_poison, stage, precision, offload) == [expected, expected]


def losses_under(settings: list[dict[str, Any]]) -> list[list[tuple[float, float]]]:
    return [engine_training(run_config(**overrides))[0] for overrides in settings]


@pytest.mark.distributed
def test_ways_of_computing_do_not_change_what_is_computed(one_process: Processes) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"train__micro_batch_size": 8},
        {"train__activation_checkpointing": True},
        {"train__activation_checkpointing": True, "parallel": {"zero_stage": 3}},
        {"train__loss_chunk_tokens": 3},
    ]
    (plain, *others) = one_process.run(losses_under, settings)[0]
    for found, overrides in zip(others, settings[1:], strict=True):
        torch.testing.assert_close(torch.tensor(found), torch.tensor(plain), rtol=1e-5, atol=0, msg=str(overrides))


def message_without(what: str, overrides: dict[str, Any]) -> str:
    """What the start-up says where DeepSpeed is not what it was."""
    config = run_config(**overrides)
    if what == "field":
        found = patch("jp_llm.engine.zero._PARTITIONED", ["a_field_that_is_gone"])
    else:
        found = patch("jp_llm.engine.prepare.CHECKED_VERSION", "0.0.1")
    with found:
        try:
            prepare(torch.device("cpu"))
            build_engine(config)
        except (RuntimeError, UserError) as error:
            return str(error)
    return "started"


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("what", "expected"),
    [("field", "lacks ['a_field_that_is_gone']; reinstall"), ("version", "was checked with 0.0.1. pip install")],
)
def test_another_deepspeed_is_refused_with_words(what: str, expected: str, two_processes: Processes) -> None:
    for message in two_processes.run(message_without, what, {"parallel": {"zero_stage": 3}}):
        assert expected in message
