"""Who is slow, in tables and in whole runs."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.train.straggler import PARTS, Measured, Slow, Streaks, _Peers, by_host, slow_ones, slow_step

NAN = float("nan")


def measured(compute: list[float], *, stages: list[int] | None = None, **parts: list[float]) -> list[Measured]:
    """Processes of two per host, in steps of one second, whose other parts take 10 ms."""
    values = {part: [0.01] * len(compute) for part in PARTS} | {"compute": compute} | parts
    return [
        Measured(
            rank, f"gpu{rank // 2}", (stages or [0] * len(compute))[rank], 1.0, {k: v[rank] for k, v in values.items()}
        )
        for rank in range(len(compute))
    ]


def found(processes: list[Measured], deviations: float = 4.0) -> list[tuple[int, str]]:
    return [(slow.rank, slow.part) for slow in slow_ones(processes, deviations)]


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        (measured([0.4] * 8), []),
        # The floor of a step of 1 s: 4 x 25 ms; and that of the peers: 4 x 5 %.
        (measured([0.4, 0.45] * 4), []),
        (measured([0.4] * 7 + [0.49]), []),
        (measured([0.4] * 7 + [0.51]), [(7, "compute")]),
        (measured([0.8] * 7 + [0.95]), []),
        (measured([0.8] * 7 + [0.97]), [(7, "compute")]),
        # One that is fast is not a problem.
        (measured([0.4] * 7 + [0.1]), []),
        # Two alone: each is judged by the other.
        (measured([0.4, 0.6]), [(1, "compute")]),
        (measured([0.4]), []),
        # Where all differ widely, so must a straggler: the MAD of the others is 0.1.
        (measured([0.2, 0.3, 0.4, 0.5, 0.6, 0.9]), []),
        (measured([0.2, 0.3, 0.4, 0.5, 0.6, 1.1]), [(5, "compute")]),
        # Two of eight at a time.
        (measured([0.4] * 6 + [0.6, 0.7]), [(6, "compute"), (7, "compute")]),
        # The last stage has the head.
        (measured([0.4, 0.8, 0.4, 0.8], stages=[0, 1, 0, 1]), []),
        (measured([0.4, 0.8, 0.6, 0.8], stages=[0, 1, 0, 1]), [(2, "compute")]),
        # A probe is short: it has no part in the step.
        (measured([0.4] * 4, probe=[0.001, 0.001, 0.001, 0.0011]), []),
        (measured([0.4] * 4, probe=[0.001, 0.001, 0.001, 0.0013]), [(3, "probe")]),
        (measured([0.4] * 4, data=[0.0, 0.0, 0.09, 0.0]), []),
        (measured([0.4] * 4, data=[0.0, 0.0, 0.11, 0.0]), [(2, "data")]),
        # What was not measured is not compared.
        (measured([NAN] * 4, host=[0.01, 0.2, 0.01, 0.01]), [(1, "host")]),
    ],
)
def test_tables(processes: list[Measured], expected: list[tuple[int, str]]) -> None:
    assert found(processes) == expected


def test_ratio_and_excess() -> None:
    (slow,) = slow_ones(measured([0.4, 0.4, 0.6]), 4.0)
    assert (slow.rank, slow.host, slow.part) == (2, "gpu1", "compute")
    assert (slow.ratio, slow.seconds) == (pytest.approx(1.5), pytest.approx(0.2))


@given(st.lists(st.floats(0, 1e3), min_size=2, max_size=9), st.data())
def test_medians_over_all_but_one(values: list[float], data: st.DataObject) -> None:
    one = data.draw(st.integers(0, len(values) - 1))
    others = values[:one] + values[one + 1 :]
    median, peers = statistics.median(others), _Peers(values)
    assert peers.median_without(values[one]) == median
    assert peers.deviation_without(values[one]) == statistics.median(abs(other - median) for other in others)


def test_steps_that_come_near_to_a_hang_are_warned_of() -> None:
    settings = WatchdogConfig(step_seconds=600)
    assert slow_step(149, settings, "step 7 took") == ""
    assert slow_step(160, settings, "step 7 took") == (
        "warning: step 7 took 160 s, and one that takes 600 s is ended as a hang; set watchdog.step_seconds=3200"
    )
    assert slow_step(9999, WatchdogConfig(enabled=False), "step 7 took") == ""


def test_two_windows_in_a_row_are_reported_once() -> None:
    slow = Slow(1, "a", "probe", 1.5, 0.1)
    streaks = Streaks()
    reports = [bool(streaks.lasting([slow] if now else [])) for now in (1, 0, 1, 1, 1, 1, 0, 0, 1, 1)]
    assert reports == [False, False, False, True, False, False, False, False, False, True]


def test_a_host_is_as_slow_as_its_slowest_process() -> None:
    hosts = by_host(measured([0.4, 0.6, NAN, NAN]))
    assert hosts == {
        "gpu0": {"data": 0.01, "host": 0.01, "compute": 0.6, "probe": 0.01},
        "gpu1": {"data": 0.01, "host": 0.01, "probe": 0.01},
    }


def compared_in_a_run(run_dir: str, part: str, seconds: float) -> list[dict[str, Any]]:
    """Twelve windows of four steps, of which rank 1 is slow from the third on. Runs in a process group."""
    import time

    import torch
    import torch.distributed
    from tiny import run_config
    from training import batch_of_step, build_engine

    from jp_llm.runtime.env import World
    from jp_llm.runtime.files import read_json_lines
    from jp_llm.train.records import Events, Records
    from jp_llm.train.straggler import Stragglers

    config = run_config(watchdog={"straggler_every_steps": 4})
    engine = build_engine(config)
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    world = World(rank, rank, size, size)
    stragglers = Stragglers(
        config, world, engine, Events(Path(run_dir), world), Records((), world, Path(run_dir), 48, {})
    )
    forward = engine._run

    def slow_forward(*args: Any) -> Any:
        time.sleep(seconds / 2)  # two micro-batches
        return forward(*args)

    for step in range(1, 49):
        slow = rank == 1 and step > 8
        stragglers.begin()
        time.sleep(seconds if slow and part == "data" else 0)
        stragglers.mark("data")
        time.sleep(seconds if slow and part == "host" else 0)
        stragglers.mark("host")
        engine._run = slow_forward if slow and part == "compute" else forward  # type: ignore[method-assign]
        engine.train_step(batch_of_step(config, engine.grid, step), 1e-3)
        stragglers.end(step)
    torch.distributed.barrier()
    events = Path(run_dir) / "events.jsonl"
    return read_json_lines(events) + read_json_lines(Path(run_dir) / "metrics.jsonl") if events.exists() else []


@pytest.mark.distributed
@pytest.mark.parametrize("part", ["data", "host", "compute"])
def test_a_slow_process_is_named_within_two_windows(part: str, two_processes: Any, tmp_path: Path) -> None:
    records, _ = two_processes.run(compared_in_a_run, str(tmp_path), part, 0.1)
    events = [record for record in records if record.get("event") == "straggler" and record["part"] == part]
    assert [(event["rank"], event["step"]) for event in events] == [(1, 16)]
    assert events[0]["ratio"] > 1.2
    assert events[0]["seconds"] == pytest.approx(0.1, rel=0.8)
    windows = [record for record in records if record.get("kind") == "hosts"]
    assert [record["step"] for record in windows] == list(range(4, 49, 4))
    ((host, parts),) = windows[-1]["hosts"].items()
    assert host == events[0]["host"]
    assert set(parts) == set(PARTS)
    assert parts[part] >= 0.1
