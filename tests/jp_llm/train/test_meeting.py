"""What processes tell each other before they train."""

import os
import socket
from datetime import timedelta
from typing import Any

import pytest
import torch
from gloo import Processes

from jp_llm.config.layout import Layout
from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import UserError
from jp_llm.train import meeting
from jp_llm.train.build import collective_timeout, pick_device
from jp_llm.train.meeting import Member, disagreements, meet, member, report


def members(nodes: dict[str, int], **changes: Any) -> list[Member]:
    """Processes on nodes, each with a GPU of its own; `changes` are by field of rank 3."""
    found: list[Member] = []
    for node, size in nodes.items():
        for local_rank in range(size):
            rank = len(found)
            values: dict[str, Any] = {
                "rank": rank,
                "node": node,
                "local_rank": local_rank,
                "device": f"A100 GPU-{node}-{local_rank}",
                "code": "c0de",
                "config": {"run_dir": "runs/a", "train": {"num_steps": 3}},
            }
            found.append(Member(**(values | (changes if rank == 3 else {}))))
    return found


TWO_NODES = {"gpu1": 2, "gpu2": 2}


def test_equal_processes_may_train() -> None:
    assert disagreements(members(TWO_NODES), Layout(2, 2, 1)) == []
    assert disagreements(members({"gpu1": 4}), Layout(4, 1, 1)) == []
    # Slow, and said elsewhere, but possible.
    assert disagreements(members(TWO_NODES), Layout(4, 1, 1)) == []
    cpus = [Member(rank, "host", rank, "cpu", "c0de", {}) for rank in range(3)]
    assert disagreements(cpus, Layout(1, 3, 1)) == []


def test_another_configuration_is_named_with_its_keys() -> None:
    other = {"run_dir": "runs/b", "train": {"num_steps": 3, "new": 1}}
    [problem] = disagreements(members(TWO_NODES, config=other), Layout(1, 4, 1))
    assert problem.startswith("process 3 on gpu2 has another configuration: run_dir is 'runs/b', on process 0 'runs/a'")
    assert "train.new is 1, on process 0 None" in problem
    assert "num_steps" not in problem


def test_other_code_is_named() -> None:
    [problem] = disagreements(members(TWO_NODES, code="other"), Layout(1, 4, 1))
    assert "process 3 on gpu2 runs other code than process 0 on gpu1" in problem


def test_two_processes_on_one_gpu_are_named() -> None:
    [problem] = disagreements(members(TWO_NODES, device="A100 GPU-gpu2-0", local_rank=0), Layout(1, 4, 1))
    assert problem.startswith("processes 2, 3 on gpu2 (LOCAL_RANK 0, 0) share one GPU, A100 GPU-gpu2-0")


def test_tensor_groups_must_not_lie_across_uneven_nodes() -> None:
    [problem] = disagreements(members({"gpu1": 3, "gpu2": 1}), Layout(2, 2, 1))
    assert "across machines with different numbers of processes (gpu1 3, gpu2 1); start a multiple of 2" in problem
    assert disagreements(members({"gpu1": 4, "gpu2": 2}), Layout(2, 3, 1)) == []


def test_the_report_says_who_is_where() -> None:
    world = World(size=5, launcher="srun")
    rows = report(members({"gpu1": 4, "gpu2": 1}), world, "gpu1:17000")
    assert rows == [
        ("launch", "srun: 5 processes on 2 nodes, meeting at gpu1:17000"),
        ("node", "gpu1: ranks 0-3 on A100"),
        ("node", "gpu2: rank 4 on A100"),
    ]


def test_the_watchdog_speaks_before_a_collective_gives_up() -> None:
    for settings in (WatchdogConfig(), WatchdogConfig(step_seconds=9000, beat_seconds=60, grace_seconds=100)):
        longest = max(settings.step_seconds, settings.other_seconds) + settings.grace_seconds
        assert collective_timeout(settings) > timedelta(seconds=longest + 3 * settings.beat_seconds)


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "3")


def test_every_process_takes_the_gpu_of_its_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(rank=11, local_rank=3, size=16)
    gpus(monkeypatch, 8)
    assert pick_device("auto", world) == torch.device("cuda", 3)
    assert pick_device("cpu", world) == torch.device("cpu")
    gpus(monkeypatch, 0)
    assert pick_device("auto", world) == torch.device("cpu")
    for count in (0, 2):
        gpus(monkeypatch, count)
        with pytest.raises(UserError, match=f"process 11 is number 3 of its machine.* finds {count} GPUs"):
            pick_device("cuda", world)


def test_a_process_that_is_shown_its_own_gpu_alone_takes_that(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 1)
    assert pick_device("cuda", World(rank=11, local_rank=3, size=16)) == torch.device("cuda", 0)
    assert os.environ["LOCAL_RANK"] == "0"


def meet_with(configs: list[dict[str, Any]]) -> str:
    """In one of several processes: the outcome of a meeting, in words."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    world = World(rank, rank, size, size)
    try:
        members, _ = meet(member(world, torch.device("cpu"), configs[rank]), world, Layout(1, size, 1))
    except UserError as error:
        return str(error)
    return f"met {len(members)}"


@pytest.mark.distributed
def test_all_processes_hear_the_same_verdict(two_processes: Processes) -> None:
    # Process 0 alone hears all.
    assert two_processes.run(meet_with, [{"seed": 1}, {"seed": 1}]) == ["met 2", "met 1"]
    first, second = two_processes.run(meet_with, [{"seed": 1}, {"seed": 2}])
    assert first == second
    assert first.startswith("process 1 on ")
    assert "seed is 2, on process 0 1" in first


def test_who_waits_in_vain_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(meeting, "PATIENCE", timedelta(seconds=1))
    world = World(0, 0, 2)
    with pytest.raises(UserError, match=f"2 processes did not all come together.*127.0.0.1:{port}"):
        meet(member(world, torch.device("cpu"), {}), world, Layout(1, 2, 1))
