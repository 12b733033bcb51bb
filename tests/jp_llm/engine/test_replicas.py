"""Comparing replicas: whatever bit flips is found and named, and nothing is found where nothing flips."""

from typing import Any

import pytest
import torch
import torch.distributed
from gloo import Processes
from tiny import run_config
from torch import Tensor
from training import batch_of_step, build_engine

from jp_llm.engine.engine import Engine
from jp_llm.engine.replicas import Difference, ReplicaMismatch
from jp_llm.engine.working import working_weights

GROUPED = {"model__num_key_value_heads": 2, "model__qk_norm": True}


def flip(tensor: Tensor, element: int = 3) -> None:
    """Flip one bit of the mantissa."""
    integers = {2: torch.int16, 4: torch.int32}[tensor.element_size()]
    tensor.view(-1)[element : element + 1].view(integers).bitwise_xor_(1 << 4)


def named(engine: Engine, ending: str, *, state: bool) -> Tensor:
    """A tensor of this process: fp32 state or, what there is under stages 1 to 3, the copy that is computed with."""
    if state:
        return next(f.state["weight"] for f in engine.zero.fragments() if f.parameter.endswith(ending))
    return [weight.tensor for weight in working_weights(engine.zero) if weight.parameter.endswith(ending)][-1]


def config_of(overrides: dict[str, Any]) -> Any:
    layout = overrides["parallel"]
    pipeline = layout.get("pipeline", 1)
    return run_config(
        **{
            "model__num_layers": 2 * pipeline * layout.get("virtual_stages", 1),
            "train__global_batch_size": 16,
            "optim__eps": 1e-8,
            **overrides,
        }
    )


def after_a_flip(overrides: dict[str, Any], ending: str, rank: int, state: bool) -> dict[str, Any]:
    """One step, a flip on one rank, then a step that compares."""
    engine = build_engine(config_of(overrides))
    engine.replicas.check()
    engine.train_step(batch_of_step(engine.config, engine.grid, 0), 1e-2, before_update=engine.replicas.check)
    engine.replicas.check()
    if torch.distributed.get_rank() == rank:
        flip(named(engine, ending, state=state))
    try:
        engine.train_step(batch_of_step(engine.config, engine.grid, 1), 1e-2, before_update=engine.replicas.check)
    except ReplicaMismatch as mismatch:
        (difference,) = mismatch.differences
        return {
            "tensor": difference.tensor,
            "ranks": difference.odd_ranks,
            "sure": difference.has_majority,
            "message": str(mismatch),
            "code": int(mismatch.code),
            "bad_hosts": mismatch.bad_hosts,
        }
    return {}


@pytest.mark.distributed
@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (0, "bf16"), (1, "fp32"), (2, "bf16")])
def test_a_flipped_bit_in_a_weight_of_one_of_two_is_found_before_the_update(
    stage: int, precision: str, two_processes: Processes
) -> None:
    overrides = {"parallel": {"zero_stage": stage}, "train__precision": precision}
    first, second = two_processes.run(after_a_flip, overrides, "qkv.weight", 1, False)
    assert first == second
    assert "layers.1.attention.q.weight" in first["tensor"]
    assert (first["ranks"], first["sure"], first["code"]) == ((0, 1), False, 16)
    assert "process 1 on " in first["message"]
    # Both run on this machine, so there is no doubt about the host.
    assert len(first["bad_hosts"]) == 1


@pytest.mark.distributed
@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (1, "bf16"), (2, "fp32"), (3, "bf16")])
def test_among_four_copies_of_a_norm_the_odd_one_is_named(
    stage: int, precision: str, four_processes: Processes
) -> None:
    overrides = {"parallel": {"zero_stage": stage, "tensor": 2}, "train__precision": precision}
    for found in four_processes.run(after_a_flip, overrides, "mlp_norm.weight", 1, False):
        assert "norm.weight" in found["tensor"]
        assert (found["ranks"], found["sure"], found["code"]) == ((1,), True, 16)
        assert "process 1 on " in found["message"]
        assert "the others (0, 2, 3)" in found["message"]


@pytest.mark.distributed
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_fp32_state_that_tensor_ranks_have_in_common_is_compared(stage: int, four_processes: Processes) -> None:
    overrides = {"parallel": {"zero_stage": stage, "tensor": 4}}
    for found in four_processes.run(after_a_flip, overrides, "mlp_norm.weight", 2, True):
        assert "(weight, fp32)" in found["tensor"]
        assert (found["ranks"], found["sure"]) == ((2,), True)


@pytest.mark.distributed
def test_half_of_a_weight_has_two_copies_under_tensor_parallelism(four_processes: Processes) -> None:
    overrides = {"parallel": {"zero_stage": 1, "tensor": 2}}
    for found in four_processes.run(after_a_flip, overrides, "mlp.down.weight", 3, False):
        assert "[0:32, 32:64]" in found["tensor"]
        assert (found["ranks"], found["sure"]) == ((1, 3), False)


def after_a_flip_in_the_head(overrides: dict[str, Any], rank: int) -> list[tuple[str, tuple[int, ...], bool]]:
    engine = build_engine(config_of(overrides))
    head = engine.zero.engine.module.loss_head
    if torch.distributed.get_rank() == rank:
        flip(head.lent.detach())
    try:
        engine.replicas.check()
    except ReplicaMismatch as mismatch:
        return [(each.tensor, each.odd_ranks, each.has_majority) for each in mismatch.differences]
    return []


@pytest.mark.distributed
@pytest.mark.parametrize("stage", [0, 1, 3])
def test_the_head_of_the_last_stage_is_compared_with_the_embedding_of_the_first(
    stage: int, four_processes: Processes
) -> None:
    overrides = {"model__arch": "gpt2", "parallel": {"zero_stage": stage, "pipeline": 2}}
    for found in four_processes.run(after_a_flip_in_the_head, overrides, 3):
        assert found == [("tied embedding, part 1 of 1", (3,), True)]


def undisturbed(overrides: dict[str, Any], steps: int) -> int:
    """Steps in which nothing was found."""
    engine = build_engine(config_of(overrides))
    for step in range(steps):
        batch = batch_of_step(engine.config, engine.grid, step)
        engine.train_step(batch, 1e-2, before_update=engine.replicas.check)
        engine.replicas.check()
    return steps


def after_another_gradient(overrides: dict[str, Any]) -> int:
    """One tensor rank has another gradient for a norm than its owner, as another order of additions could give it."""
    engine = build_engine(config_of(overrides))
    if engine.grid.tensor_rank == 1:
        parameters = engine.zero.engine.module.named_parameters()
        parameter = next(parameter for name, parameter in parameters if name.endswith("mlp_norm.weight"))
        parameter.register_hook(lambda gradient: gradient * 1.5)
    for step in range(2):
        assert engine.train_step(batch_of_step(engine.config, engine.grid, step), 1e-2).applied
        engine.replicas.check()
    return 2


@pytest.mark.distributed
@pytest.mark.parametrize(("stage", "precision"), [(0, "bf16"), (1, "fp32"), (2, "bf16"), (3, "fp32")])
def test_what_tensor_ranks_share_is_equal_also_where_they_compute_it_differently(
    stage: int, precision: str, four_processes: Processes
) -> None:
    overrides = {"parallel": {"zero_stage": stage, "tensor": 2}, "train__precision": precision}
    assert four_processes.run(after_another_gradient, overrides) == [2] * 4


LAYOUTS: list[dict[str, Any]] = [
    {"parallel": {"zero_stage": stage, "tensor": 2}, "train__precision": precision, **GROUPED}
    for stage, precision in ((0, "fp32"), (0, "bf16"), (1, "fp32"), (2, "bf16"), (3, "bf16"))
]
LAYOUTS += [
    {"parallel": {"zero_stage": 1, "tensor": 4}, "train__precision": "bf16", **GROUPED},
    {"model__arch": "gpt2", "parallel": {"zero_stage": 1, "pipeline": 2}, "train__precision": "bf16"},
    {"model__arch": "palm", "parallel": {"zero_stage": 0, "pipeline": 2, "tensor": 2}},
    {"model__arch": "gpt2", "parallel": {"zero_stage": 3, "pipeline": 2, "tensor": 2}, "train__precision": "bf16"},
    {"model__arch": "neox", "parallel": {"zero_stage": 2, "offload_optimizer": True}},
    {"parallel": {"zero_stage": 3, "gather": "per_step"}, "train__precision": "bf16"},
    {"parallel": {"zero_stage": 0}},
]


@pytest.mark.distributed
@pytest.mark.parametrize("overrides", LAYOUTS, ids=str)
def test_no_false_alarm(overrides: dict[str, Any], four_processes: Processes) -> None:
    # 72 steps over all layouts, each compared twice; tests/test_watch.py compares in a thousand.
    assert four_processes.run(undisturbed, overrides, 6) == [6] * 4


def test_a_majority_decides_and_a_tie_does_not() -> None:
    assert Difference("w", ((0, 1, 3), (2,))).odd_ranks == (2,)
    assert Difference("w", ((0,), (1,))).odd_ranks == (0, 1)
    tie = Difference("w", ((0, 3), (1, 2)))
    assert (tie.odd_ranks, tie.has_majority) == ((0, 1, 2, 3), False)
    # Three copies, three values: nobody knows.
    assert Difference("w", ((0,), (1,), (2,))).odd_ranks == (0, 1, 2)


def test_only_a_host_beyond_doubt_is_left_out() -> None:
    hosts = {0: "a", 1: "a", 2: "b", 3: "b"}
    outvoted = ReplicaMismatch((Difference("w", ((0, 1, 2), (3,))),), hosts)
    assert outvoted.bad_hosts == ("b",)
    assert ReplicaMismatch((Difference("w", ((0,), (3,))),), hosts).bad_hosts == ()
    assert ReplicaMismatch((Difference("w", ((2,), (3,))),), hosts).bad_hosts == ("b",)
