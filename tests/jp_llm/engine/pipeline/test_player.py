"""A toy chain of layers over several processes against the same chain in one."""

import os
import random
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import torch
from gloo import Processes
from torch import Tensor, nn

from jp_llm.config.layout import Layout
from jp_llm.engine.pipeline.actions import Action
from jp_llm.engine.pipeline.one_f_one_b import forward_only, schedule
from jp_llm.engine.pipeline.player import Player
from jp_llm.parallel.grid import Grid

SHAPE = (2, 3, 8)
TIMEOUT_SECONDS = 3.0

_grids: dict[tuple[int, bool], Grid] = {}


def grid_of(num_stages: int, *, interleaved: bool) -> Grid:
    """One grid per layout and process: process groups are dear."""
    key = num_stages, interleaved
    if key not in _grids:
        columns = torch.distributed.get_world_size() // num_stages
        _grids[key] = Grid(Layout(data=columns, pipeline=num_stages), virtual_stages=2 if interleaved else 1)
    return _grids[key]


def layer(virtual: int, dtype: torch.dtype) -> nn.Linear:
    """The only layer of a virtual stage."""
    torch.manual_seed(virtual)
    return nn.Linear(SHAPE[-1], SHAPE[-1], dtype=dtype)


def start(micro_batch: int, dtype: torch.dtype) -> Tensor:
    """What the first virtual stage begins with."""
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(100 + micro_batch)).to(dtype)


class Chain:
    """The layers of one stage, and the callbacks of a player over them."""

    def __init__(self, grid: Grid, num_chunks: int, dtype: torch.dtype, pause: Callable[[], None]) -> None:
        num_stages = grid.layout.pipeline
        self.virtual = [chunk * num_stages + grid.pipeline_rank for chunk in range(num_chunks)]
        self.last = num_chunks * num_stages - 1
        self.layers = [layer(virtual, dtype) for virtual in self.virtual]
        self.in_flight: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self.losses: dict[int, float] = {}
        self.dtype, self.pause = dtype, pause

    def forward(self, chunk: int, micro_batch: int, received: Tensor | None) -> Tensor | None:
        self.pause()
        assert (received is None) == (self.virtual[chunk] == 0)
        hidden = start(micro_batch, self.dtype) if received is None else received.requires_grad_()
        output = torch.tanh(self.layers[chunk](hidden))
        if self.virtual[chunk] == self.last:
            output = output.square().sum()
            self.losses[micro_batch] = output.item()
        self.in_flight[chunk, micro_batch] = hidden, output
        return None if self.virtual[chunk] == self.last else output

    def backward(self, chunk: int, micro_batch: int, received_gradient: Tensor | None) -> Tensor | None:
        self.pause()
        assert (received_gradient is None) == (self.virtual[chunk] == self.last)
        hidden, output = self.in_flight.pop((chunk, micro_batch))
        output.backward(received_gradient)
        return hidden.grad

    def gradients(self) -> dict[int, np.ndarray]:
        return {
            virtual: layer.weight.grad.float().numpy()
            for virtual, layer in zip(self.virtual, self.layers, strict=True)
            if layer.weight.grad is not None
        }


def play(
    num_stages: int, num_chunks: int, num_micro_batches: int, dtype_name: str, longest_pause: float, evaluate: bool
) -> tuple[dict[int, np.ndarray], dict[int, float]]:
    """Gradients by virtual stage and losses by micro-batch, of this rank, from the second of two rounds."""
    grid = grid_of(num_stages, interleaved=num_chunks > 1)
    dtype = getattr(torch, dtype_name)
    chance = random.Random(grid.rank)

    def pause() -> None:
        if longest_pause:
            time.sleep(chance.random() * longest_pause)

    make = forward_only if evaluate else schedule
    actions = make(num_stages, num_micro_batches, num_chunks)[grid.pipeline_rank]
    player = Player(grid, num_chunks, torch.device("cpu"), dtype)
    for _ in range(2):
        chain = Chain(grid, num_chunks, dtype, pause)
        backward = None if evaluate else chain.backward
        player.play(actions, hidden_shape=SHAPE, forward=chain.forward, backward=backward)
        assert evaluate or not chain.in_flight
    return chain.gradients(), chain.losses


def in_one_piece(
    num_layers: int, num_micro_batches: int, dtype: torch.dtype
) -> tuple[dict[int, np.ndarray], dict[int, float]]:
    """The same without any of our code."""
    layers = [layer(virtual, dtype) for virtual in range(num_layers)]
    losses = {}
    for micro_batch in range(num_micro_batches):
        hidden = start(micro_batch, dtype)
        for each in layers:
            hidden = torch.tanh(each(hidden))
        loss = hidden.square().sum()
        loss.backward()
        losses[micro_batch] = loss.item()
    return {virtual: each.weight.grad.float().numpy() for virtual, each in enumerate(layers)}, losses


def compare(processes: Processes, num_stages: int, num_chunks: int, num_micro_batches: int, **options: Any) -> None:
    dtype_name = options.pop("dtype_name", "float32")
    pause, evaluate = options.pop("pause", 0.0), options.pop("evaluate", False)
    results = processes.run(play, num_stages, num_chunks, num_micro_batches, dtype_name, pause, evaluate)
    gradients: dict[int, np.ndarray] = {}
    for found, _ in results:
        for virtual, gradient in found.items():
            np.testing.assert_array_equal(gradients.setdefault(virtual, gradient), gradient)
    wanted, losses = in_one_piece(num_stages * num_chunks, num_micro_batches, getattr(torch, dtype_name))
    assert results[-1][1] == pytest.approx(losses, rel=1e-12 if dtype_name == "float32" else 0.02)
    if evaluate:
        assert not gradients
        return
    assert gradients.keys() == wanted.keys()
    for virtual, gradient in wanted.items():
        # Same numbers in the same order; but how a bf16 product is rounded depends on what a process has done before.
        bound = 0.0 if dtype_name == "float32" else 0.02 * float(np.abs(gradient).max())
        np.testing.assert_allclose(gradients[virtual], gradient, rtol=0, atol=bound, err_msg=f"virtual stage {virtual}")


@pytest.mark.distributed
@pytest.mark.parametrize("dtype_name", ["float32", "bfloat16"])
@pytest.mark.parametrize("num_micro_batches", [1, 2, 4, 5])
@pytest.mark.parametrize("num_chunks", [1, 2])
@pytest.mark.parametrize("fixture", ["one_process", "two_processes", "four_processes"])
def test_gradients_are_those_of_one_process(
    request: pytest.FixtureRequest, fixture: str, num_chunks: int, num_micro_batches: int, dtype_name: str
) -> None:
    processes: Processes = request.getfixturevalue(fixture)
    compare(processes, processes.size, num_chunks, num_micro_batches, dtype_name=dtype_name)


@pytest.mark.distributed
@pytest.mark.parametrize("num_chunks", [1, 2])
def test_two_pipelines_side_by_side(four_processes: Processes, num_chunks: int) -> None:
    compare(four_processes, 2, num_chunks, 5, pause=0.01)


@pytest.mark.distributed
@pytest.mark.parametrize(("num_chunks", "num_micro_batches"), [(1, 4), (1, 9), (2, 4), (2, 8)])
def test_random_pauses_change_nothing(four_processes: Processes, num_chunks: int, num_micro_batches: int) -> None:
    compare(four_processes, 4, num_chunks, num_micro_batches, pause=0.02)


@pytest.mark.distributed
@pytest.mark.parametrize("num_chunks", [1, 2])
def test_evaluation_has_only_forwards(two_processes: Processes, num_chunks: int) -> None:
    compare(two_processes, 2, num_chunks, 5, evaluate=True)


def fail_on(rank: int, num_stages: int, num_chunks: int, death: bool) -> tuple[str, float]:
    """One rank fails in the middle. Returns the error that this rank saw, and after how many seconds."""
    grid = Grid(Layout(pipeline=num_stages), virtual_stages=num_chunks, timeout=timedelta(seconds=TIMEOUT_SECONDS))
    player = Player(grid, num_chunks, torch.device("cpu"), torch.float32)
    chain = Chain(grid, num_chunks, torch.float32, lambda: None)

    def backward(chunk: int, micro_batch: int, received_gradient: Tensor | None) -> Tensor | None:
        if grid.rank == rank and micro_batch == 1:
            if death:
                os._exit(3)
            raise ArithmeticError("a callback failed")
        return chain.backward(chunk, micro_batch, received_gradient)

    actions = schedule(num_stages, 6, num_chunks)[grid.pipeline_rank]
    begin = time.monotonic()
    try:
        player.play(actions, hidden_shape=SHAPE, forward=chain.forward, backward=backward)
    except (ArithmeticError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}", time.monotonic() - begin
    return "nothing", time.monotonic() - begin


@pytest.mark.distributed
@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("num_chunks", [1, 2])
def test_a_failing_callback_reaches_every_stage_in_bounded_time(
    four_processes: Processes, rank: int, num_chunks: int
) -> None:
    results = four_processes.run(fail_on, rank, 4, num_chunks, False)
    for other, (error, seconds) in enumerate(results):
        assert error.startswith("ArithmeticError" if other == rank else "RuntimeError")
        assert seconds < 2 * TIMEOUT_SECONDS
    # The processes are still good for other groups.
    compare(four_processes, 4, num_chunks, 2)


@pytest.mark.distributed
def test_a_death_is_seen_at_once() -> None:
    processes = Processes(2)
    try:
        with pytest.raises(AssertionError, match=r"the process died") as caught:
            processes.run(die, 1)
    finally:
        processes.close()
    # Whether something was on its way to it decides which.
    assert re.search("Connection (closed|reset) by peer", str(caught.value))


def die(rank: int) -> None:
    """`fail_on` with the process of a rank gone; the other one must hear of it before its timeout."""
    error, seconds = fail_on(rank, 2, 1, True)
    assert seconds < TIMEOUT_SECONDS
    raise AssertionError(error)


def wrong_messages() -> list[str]:
    """What the player says of results that it cannot send."""
    grid = grid_of(1, interleaved=True)
    player = Player(grid, 2, torch.device("cpu"), torch.float32)
    messages = []
    for result in (None, torch.zeros(2, 3), torch.zeros(SHAPE, dtype=torch.bfloat16)):
        with pytest.raises(ValueError, match="forward of micro-batch 0 in chunk 0 returned") as caught:
            player.play([Action("forward", 0, 0)], hidden_shape=SHAPE, forward=lambda *_, result=result: result)
        messages.append(str(caught.value))
    with pytest.raises(ValueError, match="no callback"):
        player.play([Action("backward", 1, 0)], hidden_shape=SHAPE, forward=lambda *_: None)
    return messages


@pytest.mark.distributed
def test_a_message_of_the_wrong_kind_is_never_sent(one_process: Processes) -> None:
    missing, shape, dtype = one_process.run(wrong_messages)[0]
    assert "returned None" in missing
    assert "(2, 3)" in shape
    assert "bfloat16" in dtype
