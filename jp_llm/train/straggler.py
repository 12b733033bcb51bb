"""Finds processes and hosts that are slower than their peers.

In synchronous training every step takes all processes the same time, whoever holds them up. Compared is therefore what
each does alone: `data` (waiting for the next batch), `host` (everything between batch and step), `compute` (the forward
passes, where there is no collective in them), and `probe` (a fixed matrix product, which sees a slow device even where
nothing else can be measured).
"""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed

from jp_llm.config.run import RunConfig
from jp_llm.engine.engine import Engine
from jp_llm.runtime.env import World
from jp_llm.train.records import Events, Records
from jp_llm.watch.heartbeat import host_name

PARTS = ("data", "host", "compute", "probe")
WINDOWS = 2
"""So many in a row in which a process must be slow."""
PEER_FLOOR = 0.05
STEP_FLOOR = 0.025
"""Least deviation, as a share of the median of the peers and of a step: what is slower by less is not worth a line."""
PROBE_SIZE = 256
PROBE_REPEATS = 5


@dataclass(frozen=True)
class Measured:
    """One process in one window. Seconds, medians over the steps; NaN where it cannot be measured."""

    rank: int
    host: str
    stage: int
    """Of the pipeline: peers are those of the same stage."""
    step: float
    """A whole step, the same for all."""
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Slow:
    """A process that is slower than its peers."""

    rank: int
    host: str
    part: str
    ratio: float
    """Over the median of the peers."""
    seconds: float
    """More than the median of the peers, per step (or per probe)."""


def slow_ones(measured: Sequence[Measured], deviations: float) -> list[Slow]:
    """Who is slow in one window: above the median of the others of its stage by so many deviations.

    A deviation is 1.4826 x MAD of the others (the standard deviation of a normal distribution), and at least
    `PEER_FLOOR` of their median and `STEP_FLOOR` of a step. Leaving out the one that is judged makes it work for two.
    """
    found = []
    for one in measured:
        peers = [other for other in measured if other.stage == one.stage and other is not one]
        for part, value in one.parts.items():
            others = [other.parts[part] for other in peers if other.parts[part] == other.parts[part]]
            if not others or value != value:
                continue
            median = statistics.median(others)
            spread = 1.4826 * statistics.median(abs(other - median) for other in others)
            floor = 0.0 if part == "probe" else STEP_FLOOR * one.step
            if value - median > deviations * max(spread, PEER_FLOOR * median, floor):
                found.append(Slow(one.rank, one.host, part, value / max(median, 1e-9), value - median))
    return found


@dataclass
class Streaks:
    """Who was slow in how many windows in a row."""

    windows: Counter[tuple[int, str]] = field(default_factory=Counter)

    def lasting(self, slow: Sequence[Slow]) -> list[Slow]:
        """Those that have just become worth a report; each once, until it has recovered."""
        now = {(one.rank, one.part): one for one in slow}
        self.windows = Counter({key: self.windows[key] + 1 for key in now})
        return [one for key, one in now.items() if self.windows[key] == WINDOWS]


class Stragglers:
    """Measures this process, compares all of them once in a window, and reports. It changes nothing.

    `begin`, `mark`, `mark`, `end` are called around the parts of every step, on every process alike.
    """

    def __init__(self, config: RunConfig, world: World, engine: Engine, events: Events, records: Records) -> None:
        """Every process makes its own at the same time."""
        self.every = config.watchdog.straggler_every_steps if config.watchdog.enabled and world.size > 1 else 0
        self._deviations = config.watchdog.straggler_deviations
        self._world, self._engine, self._events, self._records = world, engine, events, records
        # Elsewhere the others are waited for in the middle of a forward pass.
        gathers = config.parallel.zero_stage == 3 and config.parallel.gather_policy != "per_step"
        self._sees_compute = config.parallel.tensor == 1 and not gathers
        self._streaks = Streaks()
        self._steps: dict[str, list[float]] = defaultdict(list)
        self._began = self._before = 0.0
        if not self.every:
            return
        everyone: list[Any] = [None] * world.size
        torch.distributed.all_gather_object(everyone, (host_name(), engine.grid.pipeline_rank))
        self._places: list[tuple[str, int]] = everyone
        shape = PROBE_SIZE * (8 if engine.zero.device.type == "cuda" else 1)
        self._factor = torch.ones(shape, shape, dtype=engine.dtype, device=engine.zero.device)

    def begin(self) -> None:
        """A step begins: the next batch is asked for."""
        self._began = self._before = time.perf_counter()

    def mark(self, part: str) -> None:
        """What was done since the last mark is this part of the step."""
        now = time.perf_counter()
        self._steps[part].append(now - self._before)
        self._before = now

    def end(self, step: int) -> None:
        """The step is over; at the end of a window all processes are compared."""
        compute = self._engine.forward_time.take()
        if not self.every:
            self._steps.clear()
            return
        self._steps["step"].append(time.perf_counter() - self._began)
        self._steps["compute"].append(compute if self._sees_compute else float("nan"))
        # By the number of the step and not by a count: every process must come to the same end.
        if step % self.every == 0:
            self._compare(step)

    def _compare(self, step: int) -> None:
        own = [statistics.median(self._steps[name]) for name in ("step", "data", "host", "compute")]
        self._steps.clear()
        values = torch.tensor([*own, self._probe()], dtype=torch.float64, device=self._engine.zero.device)
        everyone = [torch.empty_like(values) for _ in range(self._world.size)]
        torch.distributed.all_gather(everyone, values)
        if not self._world.is_main:
            return
        measured = []
        for rank, numbers in enumerate(torch.stack(everyone).tolist()):
            host, stage = self._places[rank]
            measured.append(Measured(rank, host, stage, numbers[0], dict(zip(PARTS, numbers[1:], strict=True))))
        for slow in self._streaks.lasting(slow_ones(measured, self._deviations)):
            self._report(step, slow)
        self._records.log({"kind": "hosts", "step": step, "hosts": by_host(measured)})

    def _report(self, step: int, slow: Slow) -> None:
        self._events.write(
            "straggler",
            step=step,
            rank=slow.rank,
            host=slow.host,
            part=slow.part,
            ratio=round(slow.ratio, 3),
            seconds=round(slow.seconds, 6),
        )
        print(
            f"slow: rank {slow.rank} on host {slow.host} takes {slow.ratio:.2f} x as long as its peers for "
            f"{slow.part}, {1e3 * slow.seconds:.1f} ms more {'per probe' if slow.part == 'probe' else 'in every step'}",
            flush=True,
        )

    @torch.no_grad()
    def _probe(self) -> float:
        """Seconds of one product, the best of several: what else runs on the device only makes it slower."""
        device, best = self._engine.zero.device, float("inf")
        for _ in range(PROBE_REPEATS):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            began = time.perf_counter()
            torch.mm(self._factor, self._factor)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - began)
        return best


def by_host(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Seconds of the slowest process of each host, by part."""
    found: dict[str, dict[str, float]] = {}
    for one in measured:
        parts = found.setdefault(one.host, {})
        for part, value in one.parts.items():
            if value == value:
                parts[part] = round(max(parts.get(part, 0.0), value), 6)
    return found
