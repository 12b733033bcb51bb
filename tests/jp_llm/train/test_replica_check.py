"""When replicas are compared, and what a difference leaves behind."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch.distributed

from jp_llm.engine.replicas import Difference, ReplicaMismatch
from jp_llm.runtime.env import World
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.records import Events
from jp_llm.train.replica_check import ReplicaCheck

HOSTS = {0: "n1", 1: "n1", 2: "n2", 3: "n3"}


def check_of(folder: Path, every_steps: int, difference: Difference | None = None, rank: int = 0) -> ReplicaCheck:
    def check() -> None:
        if difference is not None:
            raise ReplicaMismatch((difference,), HOSTS)

    engine = cast(Any, SimpleNamespace(replicas=SimpleNamespace(check=check)))
    events = Events(folder, World(rank=rank, local_rank=0, size=4, local_size=4))
    return ReplicaCheck(engine, RunFolder(folder), events, every_steps=every_steps)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "barrier", lambda: None)


def test_steps_that_compare(tmp_path: Path) -> None:
    def steps(every: int) -> list[int]:
        check = check_of(tmp_path, every)
        return [step for step in range(1, 11) if check.before_update(step) is not None]

    assert steps(3) == [3, 6, 9]
    assert steps(1) == list(range(1, 11))
    assert steps(0) == []


def test_never_means_never(tmp_path: Path) -> None:
    check_of(tmp_path, 0, Difference("w", ((0,), (2,)))).now(1)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_an_event_and_a_certain_host_is_left_out_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.bad_hosts.write_text("n2 # looked at\nn7")
    for _ in range(2):
        check = check_of(tmp_path, 5, Difference("norm", ((0, 1, 2), (3,))))
        before_update = check.before_update(10)
        assert before_update is not None
        with pytest.raises(ReplicaMismatch) as raised:
            before_update()
        assert int(raised.value.code) == 16
    assert folder.bad_hosts.read_text() == "n2 # looked at\nn7\nn3\n"
    event = json.loads(folder.events.read_text().splitlines()[0])
    del event["time"]
    assert event == {
        "event": "replica_mismatch",
        "step": 10,
        "tensors": ["norm"],
        "processes": [3],
        "hosts": ["n3"],
        "bad_hosts": ["n3"],
    }


def test_a_doubtful_host_is_named_and_stays(tmp_path: Path) -> None:
    with pytest.raises(ReplicaMismatch, match="which of them is wrong cannot be told") as raised:
        check_of(tmp_path, 5, Difference("w", ((0,), (2,)))).now(4)
    assert "test n1 and n2" in str(raised.value)
    assert not RunFolder(tmp_path).bad_hosts.exists()
    assert json.loads(RunFolder(tmp_path).events.read_text())["hosts"] == ["n1", "n2"]


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    with pytest.raises(ReplicaMismatch):
        check_of(tmp_path, 5, Difference("w", ((0, 1, 2), (3,))), rank=3).now(4)
    assert list(tmp_path.iterdir()) == []
