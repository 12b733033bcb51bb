"""What the engine mends in DeepSpeed, taken out one by one: the comparison with a plain loop must notice each."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import pytest
from gloo import Processes
from tiny import run_config
from torch import Tensor
from training import RATES, History, batch_of_step, build_engine, compare, engine_training

from jp_llm.engine.tied import TiedEmbedding
from jp_llm.engine.zero import ZeroEngine

CASE = {
    "model__num_layers": 3,
    "train__micro_batch_size": 2,
    "train__global_batch_size": 4,
    "parallel": {"zero_stage": 3, "tensor": 2, "pipeline": 2},
}


def _backward_without_flag(self: ZeroEngine, objective: Tensor, hooks: Any = None) -> None:
    self.engine.backward(objective)


def _mark_nothing(self: ZeroEngine) -> None:
    for parameter in self.engine.module.parameters():
        parameter.tensor_model_parallel = False


def _nothing(*args: Any) -> None:
    pass


WITHOUT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "clearing the flag before a backward pass": lambda: patch.object(ZeroEngine, "backward", _backward_without_flag),
    "the marks of divided parameters": lambda: patch.object(ZeroEngine, "_check", _mark_nothing),
    "the sum of partial gradients": lambda: patch("jp_llm.engine.engine.sum_gradients", _nothing),
    "the gradient of a tied head": lambda: patch.object(TiedEmbedding, "collect", _nothing),
    "the new weight of a tied head": lambda: patch.object(TiedEmbedding, "publish", _nothing),
}


def training_without(cure: str | None, arch: str) -> tuple[History, dict[str, Tensor]]:
    config = run_config(model__arch=arch, **CASE)
    if cure is None:
        return engine_training(config)
    with WITHOUT[cure]():
        return engine_training(config)


@pytest.mark.distributed
@pytest.mark.parametrize("cure", [None, *WITHOUT])
def test_the_comparison_notices_a_missing_cure(cure: str | None, four_processes: Processes) -> None:
    arch = "gpt2"  # tied, with biases: everything that can go wrong is in it
    by_rank = four_processes.run(training_without, cure, arch)
    if cure is None:
        compare(by_rank, run_config(model__arch=arch, **CASE), "whole")
    else:
        with pytest.raises(AssertionError):
            compare(by_rank, run_config(model__arch=arch, **CASE), cure)


def peak_of_gathered_elements(with_cure: bool) -> tuple[int, int]:
    """Most elements of gathered weights at a time in the backward passes of one step, and elements of the stage."""
    config = run_config(
        model__num_layers=12,
        train__micro_batch_size=2,
        train__global_batch_size=16,
        parallel={"zero_stage": 3, "pipeline": 2, "gather": "per_micro_batch"},
    )
    engine = build_engine(config)
    parameters = [p for p in engine.zero.engine.module.parameters()]
    peak = 0

    def look(*_: Any) -> None:
        nonlocal peak
        peak = max(peak, sum(p.ds_numel for p in parameters if p.ds_status.name == "AVAILABLE"))

    for name, module in engine.zero.engine.module.named_modules():
        if name.endswith("mlp.down"):
            module.register_full_backward_hook(look)
    with patch.object(ZeroEngine, "hook_state", lambda self: {}) if not with_cure else nullcontext():
        engine.train_step(batch_of_step(config, engine.grid, 0), RATES[0])
    return peak, sum(p.ds_numel for p in parameters)


@pytest.mark.distributed
def test_weights_gathered_for_a_micro_batch_go_again(four_processes: Processes) -> None:
    for peak, whole in four_processes.run(peak_of_gathered_elements, True):
        assert peak < whole / 2
    # Without the counts that the engine keeps, they would pile up until the end of the backward pass.
    assert any(peak > whole / 2 for peak, whole in four_processes.run(peak_of_gathered_elements, False))
