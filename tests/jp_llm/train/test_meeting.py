"""What processes tell each other before they train."""

import json
import os
import socket
import threading
from datetime import timedelta
from typing import Any

import pytest
import torch
from gloo import Processes
from ports import free_port
from torch.distributed import TCPStore

from jp_llm.config.layout import Layout
from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError
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
        with pytest.raises(UserError, match=f"process 11 is number 3 of its machine.* finds {count} GPUs") as caught:
            pick_device("cuda", world)
        # A GPU may have fallen off.
        assert caught.value.code == ExitCode.UNEXPECTED


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


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the processes of a test meet; they wait for each other a second."""
    free = free_port()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free))
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    monkeypatch.setattr(meeting, "PATIENCE", timedelta(seconds=1))
    monkeypatch.setattr(meeting, "_LONGER", timedelta(seconds=1))
    return free


def refusal(rank: int, size: int) -> UserError:
    world = World(rank, rank, size)
    with pytest.raises(UserError) as caught:
        meet(member(world, torch.device("cpu"), {}), world, Layout(1, size, 1))
    return caught.value


def test_who_is_absent_is_named_and_may_come_at_the_next_start(port: int) -> None:
    # Number 1 has left word and will hear the verdict, as if it had come; the others have not.
    number = next(meeting._meetings) + 1
    store = TCPStore("127.0.0.1", port, 4, is_master=True, wait_for_workers=False, multi_tenant=True)
    store.set(f"jp_llm/{number}/1", "{}")
    store.add(f"jp_llm/{number}/read", 1)
    error = refusal(0, 4)
    assert error.code == ExitCode.UNEXPECTED
    assert str(error).startswith(f"ranks 2-3 of 4 did not come to 127.0.0.1:{port} within ")
    verdict = json.loads(store.get(f"jp_llm/{number}/verdict"))
    assert verdict == {"code": 1, "problems": [str(error)]}


def test_process_0_that_dies_while_others_wait_is_named(port: int) -> None:
    holder = [TCPStore("127.0.0.1", port, 2, is_master=True, wait_for_workers=False)]
    timer = threading.Timer(0.5, holder.clear)
    timer.start()
    error = refusal(1, 2)
    timer.join()
    assert error.code == ExitCode.UNEXPECTED
    assert f"process 0, which holds the meeting at 127.0.0.1:{port}, has left" in str(error)


def test_process_0_that_never_came_and_a_busy_port_are_told_apart(port: int) -> None:
    error = refusal(1, 2)
    assert error.code == ExitCode.UNEXPECTED
    assert f"process 1 did not reach process 0 at 127.0.0.1:{port}" in str(error)
    with socket.socket() as busy:
        busy.bind(("0.0.0.0", port))
        busy.listen()
        error = refusal(0, 2)
    assert error.code == ExitCode.UNEXPECTED
    assert f"process 0 cannot listen at 127.0.0.1:{port}" in str(error)
