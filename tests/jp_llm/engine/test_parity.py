"""Every way of dividing the work against a plain PyTorch loop: loss and gradient norm of each step, final weights.

`make test` plays the cases below; `JP_LLM_FULL_PARITY=1 pytest tests/jp_llm/engine/test_parity.py` plays besides the
whole product of ZeRO stage, layout, number of micro-batches and activation checkpointing, on four and eight processes.
"""

import os
from itertools import product
from typing import Any

import pytest
import torch
import torch.distributed
from gloo import Processes
from tiny import run_config
from training import (
    RATES,
    STEPS,
    History,
    all_cases,
    batch_of_step,
    build_engine,
    compare,
    engine_training,
    plain_training,
)

ZERO_STAGES = (0, 1, 2, 3)
ARCHITECTURES = ("llama", "gpt2", "neox", "palm")
FULL = bool(os.environ.get("JP_LLM_FULL_PARITY"))


def case(
    zero_stage: int, tensor: int, pipeline: int, micro_batches: int, *, world_size: int, arch: str, **overrides: Any
) -> dict[str, Any]:
    """Overrides of the tiny configuration; an odd number of layers, so that stages are not equal."""
    data = world_size // (tensor * pipeline)
    return {
        "model__arch": arch,
        "model__num_layers": 2 if pipeline == 1 else pipeline + 1,
        "parallel": {"zero_stage": zero_stage, "tensor": tensor, "pipeline": pipeline},
        "optim__gradient_clipping": 0.2,
        "train__micro_batch_size": 2,
        "train__global_batch_size": 2 * data * micro_batches,
        **overrides,
    }


def whole_product(world_size: int, layouts: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """Fewer, as many and more micro-batches than stages, with and without activation checkpointing."""
    cases = []
    for zero_stage, (tensor, pipeline), (number, count), checkpointing in product(
        ZERO_STAGES, layouts, enumerate(("fewer", "equal", "more")), (False, True)
    ):
        micro_batches = {"fewer": max(1, pipeline - 1), "equal": pipeline, "more": pipeline + 2}[count]
        arch = ARCHITECTURES[(zero_stage + tensor + pipeline + number + checkpointing) % 4]
        overrides = {"train__activation_checkpointing": checkpointing}
        cases.append(case(zero_stage, tensor, pipeline, micro_batches, world_size=world_size, arch=arch, **overrides))
    return cases


FOUR_LAYOUTS = ((1, 1), (2, 1), (1, 2), (2, 2), (1, 4))
EIGHT_LAYOUTS = ((2, 2), (1, 4), (2, 4))
GROUPED = {"model__num_key_value_heads": 2, "model__qk_norm": True}

# Shared key/value heads and norms of heads in a layout that divides everything, at every stage.
FOUR = [case(stage, 2, 2, 3, world_size=4, arch="palm", **GROUPED) for stage in ZERO_STAGES]
FOUR += [
    case(3, 1, 2, 2, world_size=4, arch="llama", parallel__gather="per_micro_batch"),
    case(3, 1, 4, 6, world_size=4, arch="gpt2", parallel__gather="per_micro_batch"),
    case(3, 1, 1, 2, world_size=4, arch="neox", parallel__gather="per_step"),
    case(
        3, 2, 2, 3, world_size=4, arch="gpt2", parallel__gather="per_micro_batch", train__activation_checkpointing=True
    ),
    case(3, 1, 2, 3, world_size=4, arch="palm", model__num_layers=4)
    | {"parallel": {"zero_stage": 3, "pipeline": 2, "virtual_stages": 2, "gather": "per_micro_batch"}},
    # What the product has besides, each once.
    case(2, 1, 4, 2, world_size=4, arch="neox", train__activation_checkpointing=True),
    case(0, 1, 4, 4, world_size=4, arch="palm"),
    case(1, 2, 1, 2, world_size=4, arch="gpt2", train__activation_checkpointing=True),
    case(2, 2, 1, 1, world_size=4, arch="neox", model__parallel_residual=False),
    case(3, 2, 1, 2, world_size=4, arch="llama"),
    case(1, 1, 2, 1, world_size=4, arch="gpt2"),
    # Key/value heads that several ranks share.
    case(3, 4, 1, 2, world_size=4, arch="palm"),
    case(1, 4, 1, 2, world_size=4, arch="palm", **GROUPED),
    # Two chunks per stage.
    case(3, 1, 2, 4, world_size=4, arch="palm", model__num_layers=5, parallel__virtual_stages=2),
    case(1, 2, 2, 2, world_size=4, arch="llama", model__num_layers=4, parallel__virtual_stages=2),
    case(2, 1, 2, 3, world_size=4, arch="gpt2", model__num_layers=4, parallel__virtual_stages=2),
    case(0, 1, 4, 3, world_size=4, arch="neox", model__num_layers=8, parallel__virtual_stages=2)
    | {"model__parallel_residual": False},
]
EIGHT = [
    case(3, 2, 2, 3, world_size=8, arch="gpt2"),
    case(2, 2, 2, 1, world_size=8, arch="palm", train__activation_checkpointing=True),
    case(1, 1, 4, 4, world_size=8, arch="llama"),
    case(0, 2, 4, 5, world_size=8, arch="neox"),
    case(3, 2, 4, 2, world_size=8, arch="palm"),
]


def name_of(found: dict[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('__')[2]}={value}" for key, value in found.items())


def play(processes: Processes, cases: list[dict[str, Any]]) -> None:
    for some in batched(cases, 10):
        by_rank = processes.run(all_cases, some)
        for index, overrides in enumerate(some):
            compare([found[index] for found in by_rank], run_config(**overrides), name_of(overrides))


def batched(cases: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [cases[start : start + size] for start in range(0, len(cases), size)]


@pytest.mark.distributed
def test_four_processes_train_to_the_weights_of_a_plain_loop(four_processes: Processes) -> None:
    play(four_processes, [*FOUR, *(whole_product(4, FOUR_LAYOUTS) if FULL else [])])


@pytest.mark.distributed
def test_eight_processes_train_to_the_weights_of_a_plain_loop(eight_processes: Processes) -> None:
    play(eight_processes, [*EIGHT, *(whole_product(8, EIGHT_LAYOUTS) if FULL else [])])


@pytest.mark.distributed
def test_bf16_stays_near_fp32_on_every_layout(four_processes: Processes) -> None:
    cases = [
        case(stage, tensor, pipeline, 3, world_size=4, arch="palm", train__precision="bf16")
        for stage, (tensor, pipeline) in zip((1, 2, 3, 1, 3), ((2, 2), (2, 2), (2, 2), (1, 4), (1, 2)), strict=True)
    ]
    for history_and_weights in four_processes.run(all_cases, cases):
        for (history, _), overrides in zip(history_and_weights, cases, strict=True):
            expected, _ = plain_training(run_config(**{**overrides, "train__precision": "fp32"}))
            losses, norms = torch.tensor(history).T
            expected_losses, expected_norms = torch.tensor(expected).T
            torch.testing.assert_close(losses, expected_losses, rtol=5e-4, atol=0, msg=name_of(overrides))
            # Later norms are those of weights that AdamW has driven apart: it follows signs of gradients near zero.
            torch.testing.assert_close(norms[:2], expected_norms[:2], rtol=5e-3, atol=0, msg=name_of(overrides))


def step_with_poison(overrides: dict[str, Any]) -> tuple[bool, bool, bool]:
    """A gradient that is not finite on the first process only, then a sound step."""
    config = run_config(**overrides)
    engine = build_engine(config)
    batch = batch_of_step(config, engine.grid, 0)
    before = [state["weight"].clone() for _, state in engine.state()]
    hook = None
    if engine.grid.rank == 0:
        parameter = next(p for n, p in engine.zero.engine.module.named_parameters() if n.endswith("down.weight"))
        hook = parameter.register_hook(lambda gradient: gradient * float("nan"))
    poisoned = engine.train_step(batch, RATES[0])
    kept = all(torch.equal(old, state["weight"]) for old, (_, state) in zip(before, engine.state(), strict=True))
    if hook is not None:
        hook.remove()
    sound = engine.train_step(batch, RATES[0])
    return poisoned.applied, kept, sound.applied


def all_poisoned(cases: list[dict[str, Any]]) -> list[tuple[bool, bool, bool]]:
    return [step_with_poison(overrides) for overrides in cases]


@pytest.mark.distributed
def test_a_gradient_that_is_not_finite_on_one_stage_skips_the_update_on_all(four_processes: Processes) -> None:
    cases = [case(stage, 2, 2, 3, world_size=4, arch="gpt2") for stage in ZERO_STAGES]
    assert four_processes.run(all_poisoned, cases) == [[(False, True, True)] * len(cases)] * 4


def copies_after_a_disturbance(overrides: dict[str, Any]) -> tuple[float, float]:
    """Largest difference between the copies of a norm on the ranks of the tensor axis, before a step and after it."""
    config = run_config(**overrides)
    engine = build_engine(config)

    def difference() -> float:
        # Under ZeRO some data-parallel ranks hold none of them.
        norms = [state["weight"] for piece, state in engine.state() if "norm" in piece.part.name]
        own = torch.cat([torch.zeros(1), *norms])
        others = [torch.empty_like(own) for _ in range(engine.grid.layout.tensor)]
        torch.distributed.all_gather(others, own, group=engine.grid.tensor_group)
        return max(float((own - other).abs().max()) for other in others)

    for piece, state in engine.state():
        if "norm" in piece.part.name:
            state["weight"].add_(1e-6 * engine.grid.tensor_rank)
    before = difference()
    engine.train_step(batch_of_step(config, engine.grid, 0), RATES[0])
    return before, difference()


@pytest.mark.distributed
def test_copies_on_the_tensor_axis_cannot_drift_apart(four_processes: Processes) -> None:
    for stage in ZERO_STAGES:
        found = four_processes.run(copies_after_a_disturbance, case(stage, 2, 1, 2, world_size=4, arch="llama"))
        assert max(before for before, _ in found) > 0
        assert [after for _, after in found] == [0.0] * 4


def history_only(overrides: dict[str, Any]) -> History:
    return engine_training(run_config(**overrides))[0]


@pytest.mark.distributed
def test_every_process_reports_the_same_step(four_processes: Processes) -> None:
    histories = four_processes.run(history_only, case(1, 2, 2, 2, world_size=4, arch="llama"))
    assert len(histories[0]) == STEPS
    assert all(history == histories[0] for history in histories)
