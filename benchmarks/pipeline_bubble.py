"""How much of a step does a pipeline stage stand idle, and is it the share that the schedule must cost?

    python benchmarks/pipeline_bubble.py [rounds]

Stages of equal work, a backward twice as dear as a forward, over gloo. Two stages multiply matrices, one thread each.
Four stages sleep instead of working, so that they need no core each: what is measured there is the schedule and the
messages. The bubble is 1 - time inside the callbacks / time from the common start to the end of the last stage, mean
over the stages, median over the rounds; theory is (p - 1) / (chunks x m + p - 1) (Narayanan et al. 2021, section 2.2).
"""

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.multiprocessing
from _report import report
from torch import Tensor

from jp_llm.config.layout import Layout
from jp_llm.engine.pipeline.one_f_one_b import schedule
from jp_llm.engine.pipeline.player import Player
from jp_llm.parallel.grid import Grid

HIDDEN_SHAPE = (2, 256, 512)
UNIT_SECONDS = 0.04
"""A forward of one micro-batch through one whole stage, where stages sleep."""
UNIT_PRODUCTS = 14
"""The same in products of two 512 x 512 matrices (about as long on one core), where they work."""


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


def multiply(units: float) -> None:
    """Keep one core busy."""
    matrix = torch.full((512, 512), 1 / 512)
    for _ in range(round(units * UNIT_PRODUCTS)):
        matrix = matrix @ matrix


def sleep(units: float) -> None:
    """Take as long as work would."""
    time.sleep(units * UNIT_SECONDS)


def step(player: Player, grid: Grid, case: Case, work: Callable[[float], None]) -> tuple[float, float, float]:
    """Seconds of one step: all of it, in the callbacks of this stage, and waiting for messages in this stage."""
    busy = 0.0
    message = torch.zeros(HIDDEN_SHAPE)

    def callback(units: float) -> Callable[[int, int, Tensor | None], Tensor]:
        def timed(chunk: int, micro_batch: int, received: Tensor | None) -> Tensor:
            nonlocal busy
            begin = time.perf_counter()
            work(units / case.num_chunks)
            busy += time.perf_counter() - begin
            return message

        return timed

    actions = schedule(case.num_stages, case.num_micro_batches, case.num_chunks)[grid.pipeline_rank]
    torch.distributed.barrier()
    begin = time.perf_counter()
    player.play(actions, hidden_shape=HIDDEN_SHAPE, forward=callback(1.0), backward=callback(2.0))
    elapsed = torch.tensor(time.perf_counter() - begin)
    torch.distributed.all_reduce(elapsed, torch.distributed.ReduceOp.MAX)
    return elapsed.item(), busy, player.waited_seconds


def measure(rank: int, num_stages: int, rounds: int, folder: str) -> None:
    """One stage, through all cases with this number of stages; leaves bubble and waiting share of each in a file."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", num_stages)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=num_stages)
    grid = Grid(Layout(pipeline=num_stages), virtual_stages=2)
    work = multiply if num_stages == 2 else sleep
    found = []
    for case in CASES:
        if case.num_stages == num_stages:
            player = Player(grid, case.num_chunks, torch.device("cpu"), torch.float32)
            step(player, grid, case, work)
            steps = [step(player, grid, case, work) for _ in range(rounds)]
            found.append([[1 - busy / total, waited / total] for total, busy, waited in steps])
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
            bubble, waited = (statistics.median(column) for column in zip(*found, strict=True))
            rows.append(
                {
                    "stages": case.num_stages,
                    "work": "matrices" if num_stages == 2 else "sleep",
                    "chunks": case.num_chunks,
                    "micro-batches": case.num_micro_batches,
                    "bubble": bubble,
                    "theory": case.theory,
                    "bubble / theory": bubble / case.theory,
                    "waiting for messages": waited,
                }
            )
    print("Four stages only sleep: as real work they would need a core each.")
    report("Idle share of a pipeline stage against theory", rows, rounds=rounds, hidden_shape=HIDDEN_SHAPE)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:] or ["5"]))
