"""Finds processes and hosts that are slower than their peers.

In synchronous training every step takes all processes the same time, whoever holds them up. Compared is therefore what
each does alone: `data` (waiting for the next batch), `host` (everything between batch and step), `compute` (the forward
passes, where there is no collective in them), and `probe` (a fixed matrix product, which sees a slow device even where
nothing else can be measured).
"""

import statistics
import sys
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed

from jp_llm.config.run import RunConfig
from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.engine.engine import Engine
from jp_llm.runtime.env import World
from jp_llm.runtime.host import host_name
from jp_llm.train.records import Events, Records

PARTS = ("data", "host", "compute", "probe")
WINDOWS = 2
"""So many in a row in which a process must be slow."""
PEER_FLOOR = 0.05
STEP_FLOOR = 0.025
"""Least deviation, as a share of the median of the peers and of a step: what is slower by less is not worth a line."""
PROBE_SIZE, PROBE_SIZE_GPU = 256, 8192
"""Of a square matrix. About a millisecond on either: the launch of a shorter product takes longer than the product."""
PROBE_REPEATS = 5
NEAR_SHARE = 0.25
"""Of `watchdog.step_seconds`: a step that takes longer is warned of."""
NORMAL_STEPS = 20
"""So many normal steps are a good `watchdog.step_seconds`."""


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
    groups: dict[tuple[int, str], list[float]] = defaultdict(list)
    for one in measured:
        for part, value in one.parts.items():
            if value == value:
                groups[one.stage, part].append(value)
    peers = {key: _Peers(values) for key, values in groups.items() if len(values) > 1}
    found = []
    for one in measured:
        for part, value in one.parts.items():
            group = peers.get((one.stage, part))
            if group is None or value != value:
                continue
            median = group.median_without(value)
            spread = 1.4826 * group.deviation_without(value)
            floor = 0.0 if part == "probe" else STEP_FLOOR * one.step
            if value - median > deviations * max(spread, PEER_FLOOR * median, floor):
                found.append(Slow(one.rank, one.host, part, value / max(median, 1e-9), value - median))
    return found


class _Peers:
    """Medians over all but one; sorted once, for there may be thousands of processes, of each of which it is asked."""

    def __init__(self, values: Sequence[float]) -> None:
        self._ordered = sorted(values)
        # Leaving out one of them gives few different medians.
        self._deviations: dict[float, list[float]] = {}

    def median_without(self, value: float) -> float:
        return _median_without(self._ordered, value)

    def deviation_without(self, value: float) -> float:
        """MAD of the others."""
        median = self.median_without(value)
        if median not in self._deviations:
            self._deviations[median] = sorted(abs(other - median) for other in self._ordered)
        return _median_without(self._deviations[median], abs(value - median))


def _median_without(ordered: Sequence[float], value: float) -> float:
    """Of a sorted sequence that `value`, which is in it, has been taken out of."""
    gone, left = bisect_left(ordered, value), len(ordered) - 1
    low, high = (ordered[index + (index >= gone)] for index in ((left - 1) // 2, left // 2))
    return (low + high) / 2


def slow_step(seconds: float, watchdog: WatchdogConfig, what: str) -> str:
    """A warning that steps come near to what is taken for a hang; empty if they do not.

    Args:
        what: how it is known, e.g. "step 7 took".
    """
    if not watchdog.enabled or seconds <= NEAR_SHARE * watchdog.step_seconds:
        return ""
    return (
        f"warning: {what} {seconds:.0f} s, and one that takes {watchdog.step_seconds:g} s is ended as a hang; "
        f"set watchdog.step_seconds={NORMAL_STEPS * seconds:.0f}"
    )


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
        self._watchdog = config.watchdog
        # The first step of a start may take longer.
        self._warns, self._is_first = world.is_main, True
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
        took = time.perf_counter() - self._began
        self._warn(step, took)
        if not self.every:
            self._steps.clear()
            return
        self._steps["step"].append(took)
        self._steps["compute"].append(compute if self._sees_compute else float("nan"))
        # By the number of the step and not by a count: every process must come to the same end.
        if step % self.every == 0:
            self._compare(step)

    def _warn(self, step: int, took: float) -> None:
        """Once, of steps that may one day be taken for a hang."""
        words = "" if self._is_first or not self._warns else slow_step(took, self._watchdog, f"step {step} took")
        self._is_first = False
        if words:
            self._warns = False
            print(words, file=sys.stderr, flush=True)

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
        size = PROBE_SIZE_GPU if device.type == "cuda" else PROBE_SIZE
        # Not kept: between two steps there is room on the device, within them there may not be.
        factor = torch.ones(size, size, dtype=self._engine.dtype, device=device)
        for _ in range(PROBE_REPEATS):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            began = time.perf_counter()
            torch.mm(factor, factor)
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
