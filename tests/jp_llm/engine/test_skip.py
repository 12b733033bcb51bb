"""An update that is refused, or cannot be applied, has never been: on every stage, precision and layout."""

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
import torch
from gloo import Processes
from tiny import run_config
from torch import Tensor
from training import RATES, batch_of_step, build_engine

from jp_llm.config.guard import GuardConfig
from jp_llm.engine.engine import Engine
from jp_llm.guard.guard import Guard
from jp_llm.runtime.files import fingerprint_of

ALONE = [
    (0, "fp32", False),
    (0, "bf16", False),
    (1, "fp32", True),
    (1, "bf16", False),
    (2, "fp32", False),
    (2, "bf16", True),
    (3, "fp32", True),
    (3, "bf16", False),
]
"""(stage, precision, offload) on two data-parallel processes: every pair of two of them."""
TOGETHER = [
    (0, "fp32", 2, 2),
    (1, "bf16", 2, 1),
    (1, "bf16", 1, 2),
    (2, "fp32", 2, 1),
    (2, "bf16", 1, 2),
    (3, "fp32", 1, 2),
    (3, "bf16", 2, 1),
    (3, "bf16", 2, 2),
]
"""(stage, precision, tensor, pipeline) on four; data-parallel where there are processes left. gpt2 ties the embedding
to a head on another stage."""


def overrides_of(case: tuple[Any, ...]) -> dict[str, Any]:
    if len(case) == 3:
        stage, precision, offload = case
        return {"parallel": {"zero_stage": stage, "offload_optimizer": offload}, "train__precision": precision}
    stage, precision, tensor, pipeline = case
    return {
        "model__arch": "gpt2",
        "model__num_layers": 3,
        "parallel": {"zero_stage": stage, "tensor": tensor, "pipeline": pipeline},
        "train__precision": precision,
    }


def everything(engine: Engine) -> list[Tensor]:
    """fp32 state, the weights that are computed with, and AdamW's count."""
    held = [tensor.clone() for _, state in engine.state() for tensor in state.values()]
    for parameter in engine.zero.engine.module.parameters():
        with engine.zero.whole(parameter) as values:
            held.append(values.clone())
    return [*held, torch.tensor(engine.zero.applied_updates)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def refuse_the_second(case: tuple[Any, ...]) -> dict[str, Any]:
    config = run_config(**overrides_of(case))
    planned, engine = build_engine(config), build_engine(config)
    asked: list[tuple[float, float]] = []

    def refuse(loss: float, grad_norm: float) -> str | None:
        asked.append((loss, grad_norm))
        return "for the test" if len(asked) == 2 else None

    losses = []
    for step in (0, 2, 3):
        losses.append(planned.train_step(batch_of_step(config, planned.grid, step), RATES[step]).loss)
    found: dict[str, Any] = {"losses": []}
    for step in (0, 1, 2, 3):
        before = everything(engine)
        result = engine.train_step(batch_of_step(config, engine.grid, step), RATES[step], judge=refuse)
        if step == 1:
            found["kept"] = same(before, everything(engine))
            found["refused"] = (result.applied, result.refused, result.grad_norm == asked[1][1])
        else:
            assert result.applied
            assert result.refused is None
            assert not same(before, everything(engine))
            found["losses"].append(result.loss)
    return found | {
        "asked": asked,
        "as planned": found.pop("losses") == losses,
        "same end": same(everything(engine), everything(planned)),
    }


def check_refusals(processes: Processes, case: tuple[Any, ...]) -> None:
    by_rank = processes.run(refuse_the_second, case)
    for found in by_rank:
        assert found["asked"] == by_rank[0]["asked"]
        assert len(found["asked"]) == 4
        assert all(norm > 0 for _, norm in found["asked"])
        expected = {"kept": True, "refused": (False, "for the test", True), "as planned": True, "same end": True}
        assert {key: found[key] for key in expected} == expected


@pytest.mark.distributed
@pytest.mark.parametrize("case", ALONE, ids=str)
def test_a_refused_update_has_never_been(case: tuple[Any, ...], two_processes: Processes) -> None:
    check_refusals(two_processes, case)


@pytest.mark.distributed
@pytest.mark.parametrize("case", TOGETHER, ids=str)
def test_a_refused_update_has_never_been_on_any_stage_or_tensor_rank(
    case: tuple[Any, ...], four_processes: Processes
) -> None:
    check_refusals(four_processes, case)


def with_scaled_gradients(case: tuple[Any, ...]) -> list[Any]:
    """Steps with gradients x 3, x 10^4 and NaN (the last one on one process only) among ordinary ones."""
    config = run_config(**overrides_of(case), optim__learning_rate=1e-4)
    engine = build_engine(config)
    guard = Guard(GuardConfig(window=8, active_from=4))
    found: list[Any] = []
    for step, factor in enumerate((1, 1, 1, 1, 1, 3, 1e4, 1, float("nan"), 1)):
        parameters = list(engine.zero.engine.module.named_parameters())
        if factor != factor:  # one matrix on one process
            parameters = parameters[1:2] if engine.grid.rank == 0 else []
        with ExitStack() as stack:
            for _, parameter in parameters:
                hook = parameter.register_hook(lambda gradient, factor=factor: gradient * factor)
                stack.callback(hook.remove)
            before = everything(engine)
            batch = batch_of_step(config, engine.grid, 0)
            result = engine.train_step(batch, 1e-4, judge=guard.judge)
        guard.after(step + 1, range(step, step + 1), result.loss, result.grad_norm, result.refused)
        assert result.applied != same(before, everything(engine))
        found.append((result.applied, fingerprint_of(repr((result.grad_norm, result.refused)))))
    assert engine.zero.applied_updates == 8
    return found


def check_scaled(processes: Processes, case: tuple[Any, ...]) -> None:
    by_rank = processes.run(with_scaled_gradients, case)
    assert all(found == by_rank[0] for found in by_rank)
    assert [applied for applied, _ in by_rank[0]] == [True] * 6 + [False, True, False, True]


@pytest.mark.distributed
@pytest.mark.parametrize("case", [(0, "fp32", False), (1, "bf16", False), (2, "bf16", True), (3, "fp32", False)])
def test_gradients_times_three_are_clipped_and_far_outliers_and_nan_refused(
    case: tuple[Any, ...], two_processes: Processes
) -> None:
    check_scaled(two_processes, case)


@pytest.mark.distributed
@pytest.mark.parametrize("case", [(1, "fp32", 2, 2), (2, "bf16", 1, 2), (3, "bf16", 2, 1)])
def test_so_they_are_on_any_stage_or_tensor_rank(case: tuple[Any, ...], four_processes: Processes) -> None:
    check_scaled(four_processes, case)


def start_without(name: str) -> str:
    with patch("jp_llm.engine.permission._OF_PARTITIONS", name), patch("jp_llm.engine.permission._OF_BUCKETS", name):
        try:
            build_engine(run_config(parallel={"zero_stage": 2}))
        except RuntimeError as error:
            return str(error)
    return "started"


@pytest.mark.distributed
def test_a_deepspeed_that_cannot_be_asked_is_refused(two_processes: Processes) -> None:
    for message in two_processes.run(start_without, "a_name_that_is_gone"):
        assert "lacks ['get_global_norm_of_tensors']" in message
