"""How much of a step does a pipeline stage stand idle, and is it the share that the schedule must cost?

    python benchmarks/pipeline_bubble.py [rounds]

Over gloo, one thread per stage. Two stages train: the engine with ZeRO-3 and a llama of equal stages (its vocabulary is
so small that the head weighs nothing). Four stages sleep instead of working, a backward twice as long as a forward, so
that they need no core each: what is measured there is the schedule and the messages. The bubble is 1 - time inside
forwards and backwards / time from the common start to the end of the last stage, mean over the stages, median over the
rounds; theory is (p - 1) / (chunks x m + p - 1) (Narayanan et al. 2021, section 2.2).
"""

import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.multiprocessing
from _report import report
from torch import Tensor

from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.engine.pipeline.actions import Action
from jp_llm.engine.pipeline.one_f_one_b import schedule
from jp_llm.engine.pipeline.player import Player
from jp_llm.engine.prepare import prepare
from jp_llm.parallel.grid import Grid

Callback = Callable[[int, int, Tensor | None], Tensor | None]
HIDDEN_SHAPE = (2, 256, 512)
FORWARD_SECONDS = 0.04
"""Of one micro-batch through one whole stage that sleeps."""


class Case(NamedTuple):
    """One row of the table."""

    num_stages: int
    num_chunks: int
    num_micro_batches: int

    @property
    def theory(self) -> float:
        """The bubble of this schedule with equal stages and free messages."""
        stages_besides = self.num_stages - 1
        return stages_besides / (self.num_chunks * self.num_micro_batches + stages_besides)


# Chunks divide the bubble as the formula says only where the stages divide the micro-batches.
CASES = [Case(p, v, m) for p in (2, 4) for v in (1, 2) for m in (2, 4, 8) if v == 1 or m % p == 0]


class Measured(NamedTuple):
    """Seconds of one step of one stage."""

    total: float
    """From the common start until the last stage has ended."""
    busy: float
    """In forwards and backwards."""


def play(player: Player, actions: Sequence[Action], hidden_shape: Sequence[int], *callbacks: Callback) -> Measured:
    """Play the actions of this stage with (forward, backward) and a watch around them."""
    busy = 0.0

    def timed(callback: Callback) -> Callback:
        def call(chunk: int, micro_batch: int, received: Tensor | None) -> Tensor | None:
            nonlocal busy
            begin = time.perf_counter()
            result = callback(chunk, micro_batch, received)
            busy += time.perf_counter() - begin
            return result

        return call

    forward, backward = (timed(callback) for callback in callbacks)
    torch.distributed.barrier()
    begin = time.perf_counter()
    player.play(actions, hidden_shape=hidden_shape, forward=forward, backward=backward)
    elapsed = torch.tensor(time.perf_counter() - begin)
    torch.distributed.all_reduce(elapsed, torch.distributed.ReduceOp.MAX)
    return Measured(elapsed.item(), busy)


def sleeping(case: Case) -> Callable[[], Measured]:
    """A step of a stage that only sleeps."""
    grid = Grid(Layout(pipeline=case.num_stages), virtual_stages=case.num_chunks)
    player = Player(grid, case.num_chunks, torch.device("cpu"), torch.float32)
    actions = schedule(case.num_stages, case.num_micro_batches, case.num_chunks)[grid.pipeline_rank]
    message = torch.zeros(HIDDEN_SHAPE)

    def sleep(seconds: float) -> Callback:
        def callback(chunk: int, micro_batch: int, received: Tensor | None) -> Tensor:
            time.sleep(seconds / case.num_chunks)
            return message

        return callback

    return lambda: play(player, actions, HIDDEN_SHAPE, sleep(FORWARD_SECONDS), sleep(2 * FORWARD_SECONDS))


def training(case: Case) -> Callable[[], Measured]:
    """A training step through the engine; the update of the weights is not part of what is measured."""
    config = RunConfig.model_validate(
        {
            "model": {
                "hidden_size": 512,
                "num_layers": 8,
                "max_position_embeddings": HIDDEN_SHAPE[1],
                "vocab_size": 128,
            },
            "train": {
                "micro_batch_size": HIDDEN_SHAPE[0],
                "global_batch_size": HIDDEN_SHAPE[0] * case.num_micro_batches,
                "precision": "fp32",
            },
            "parallel": {"zero_stage": 3, "pipeline": case.num_stages, "virtual_stages": case.num_chunks},
            "data": {"path": "unused"},
        }
    )
    grid = Grid(Layout(pipeline=case.num_stages), virtual_stages=case.num_chunks)
    engine = Engine(config, torch.device("cpu"), grid)
    engine.initialize()
    rows = torch.randint(0, 128, (config.train.global_batch_size, config.seq_length + 1))
    parts = tuple(Microbatch.of(part, None) for part in rows.split(config.train.micro_batch_size))
    found: list[Measured] = []

    class Watched:
        def play(self, actions: Sequence[Action], *, hidden_shape: Sequence[int], **callbacks: Callback) -> None:
            found.append(play(player, actions, hidden_shape, callbacks["forward"], callbacks["backward"]))

    player, engine._player = engine._player, Watched()  # type: ignore[assignment]

    def step() -> Measured:
        engine.train_step(Batch(parts, range(0), 0), 1e-4)
        return found[-1]

    return step


def measure(rank: int, num_stages: int, rounds: int, folder: str) -> None:
    """One stage, through all cases with this number of stages; leaves the bubbles of each in a file."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_stages), "LOCAL_SIZE": "1"}
    store = torch.distributed.FileStore(f"{folder}/store", num_stages)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=num_stages)
    prepare(torch.device("cpu"))
    found = []
    for case in CASES:
        if case.num_stages == num_stages:
            step = (training if num_stages == 2 else sleeping)(case)
            step()
            steps = [step() for _ in range(rounds)]
            found.append([1 - busy / total for total, busy in steps])
    torch.save(torch.tensor(found), f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def main(rounds: int) -> None:
    """Measure every case and compare with theory."""
    rows = []
    for num_stages in (2, 4):
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(measure, (num_stages, rounds, folder), nprocs=num_stages)
            results = torch.stack([torch.load(path) for path in sorted(Path(folder).glob("*.pt"))])
        cases = [case for case in CASES if case.num_stages == num_stages]
        for case, found in zip(cases, results.mean(dim=0).tolist(), strict=True):
            bubble = statistics.median(found)
            rows.append(
                {
                    "stages": case.num_stages,
                    "work": "training" if num_stages == 2 else "sleep",
                    "chunks": case.num_chunks,
                    "micro-batches": case.num_micro_batches,
                    "bubble": bubble,
                    "theory": case.theory,
                    "bubble / theory": bubble / case.theory,
                }
            )
    print("Four stages only sleep: as real work they would need a core each.")
    report("Idle share of a pipeline stage against theory", rows, rounds=rounds, hidden_shape=HIDDEN_SHAPE)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:] or ["5"]))
