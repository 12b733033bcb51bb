"""Faults in whole runs of two processes: who is named, and how everybody leaves. More: test_supervised_faults.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from tiny import TINY_WORDS, write_dataset

from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json_lines
from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
OVERRIDES = [
    *TINY_WORDS,
    "checkpoint.every_steps=100000",
    "watchdog.beat_seconds=0.5",
    "watchdog.silence_seconds=4",
    "watchdog.step_seconds=5",
    "watchdog.grace_seconds=2",
]
SECONDS = 280.0

pytestmark = pytest.mark.distributed


class Launch:
    """Two processes of one run, started as a launcher would, but without anything that looks after them."""

    def __init__(self, run_dir: Path, data: Path, fault: str, overrides: tuple[str, ...], count: int = 2) -> None:
        self.folder = RunFolder(run_dir)
        run_dir.mkdir(exist_ok=True)
        self.log = run_dir / "output.txt"
        common = {
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": free_port(),
        }
        common |= {"OMP_NUM_THREADS": 1, "DS_ACCELERATOR": "cpu", "FAULT": fault}
        words = [f"data.path={data}", f"run_dir={run_dir}", *OVERRIDES, *overrides]
        self.processes = []
        for rank in range(count):
            variables = {name: str(value) for name, value in (common | {"RANK": rank, "LOCAL_RANK": rank}).items()}
            with self.log.open("a") as log:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "tests/helpers/faulty_train.py", *words],
                        cwd=ROOT,
                        env=os.environ | variables,
                        stdout=log,
                        stderr=log,
                    )
                )

    def codes(self) -> list[int]:
        """Exit codes, when all have left by themselves."""
        deadline = time.monotonic() + SECONDS
        return [process.wait(max(1, deadline - time.monotonic())) for process in self.processes]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_json_lines(self.folder.events) if event["event"] == kind]

    def watchers(self) -> list[int]:
        """Process numbers of the watchers of this run."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"jp_llm.watch.watcher" in words and str(self.folder.path).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def hang(self) -> dict[str, Any]:
        """The one event of a hang, and everything that must be true of every hang."""
        assert self.codes() in ([124, 124], [-9, 124], [124, -9])
        wait_until(lambda: not self.watchers())
        (event,) = self.events("hang")
        status = json.loads(self.folder.status.read_text())
        assert (status["state"], status["code"]) == ("failed", ExitCode.HUNG)
        assert status["reason"] == "; ".join(event["words"])
        for word in event["words"]:
            assert f"watchdog: {word}\n" in self.log.read_text()
        assert event["culprits"][0]["host"] == socket.gethostname()
        # What a process did last in silence is not known to the step.
        assert event["culprits"][0]["step"] <= 7
        return event

    def stacks(self, rank: int) -> str:
        (event,) = self.events("hang")
        return (self.folder.path / event["stacks"] / f"rank_{rank:05d}.txt").read_text()


@contextmanager
def launched(run_dir: Path, data: Path, fault: str, *overrides: str, count: int = 2) -> Iterator[Launch]:
    """Processes that are gone afterwards, whatever happened."""
    launch = Launch(run_dir, data, fault, overrides, count)
    try:
        yield launch
    finally:
        for process in launch.processes:
            process.kill()
            process.wait()
        wait_until(lambda: not launch.watchers())


def wait_until(happened: Any) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, sources=("books",))
    return folder


def line_of(text: str) -> int:
    """Where `text` stands in the script with the faults."""
    lines = (ROOT / "tests/helpers/faulty_train.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_process_that_keeps_the_interpreter_is_named_and_killed(data: Path, tmp_path: Path) -> None:
    with launched(tmp_path / "run", data, "hold rank=0 step=7", "train.num_steps=100000") as launch:
        event = launch.hang()
        assert launch.codes()[0] == -signal.SIGKILL
        assert event["kind"] == "silent"
        assert [culprit["rank"] for culprit in event["culprits"]] == [0]
        assert f"line {line_of('PyDLL(None)') + 1} in hold_interpreter" in launch.stacks(0)


def test_a_slow_process_is_named_within_two_windows(data: Path, tmp_path: Path) -> None:
    words = ("train.num_steps=40", "watchdog.straggler_every_steps=10", "train.log_every_steps=10")
    with launched(tmp_path / "run", data, "slow rank=1 step=5 seconds=0.1", *words) as launch:
        assert launch.codes() == [0, 0]
        (event,) = [event for event in launch.events("straggler") if event["part"] == "host"]
        assert (event["rank"], event["host"]) == (1, socket.gethostname())
        # The fault begins in the middle of the first window.
        assert event["step"] in (20, 30)
        assert f"slow: rank 1 on host {socket.gethostname()} takes" in launch.log.read_text()
        records = [record for record in read_json_lines(launch.folder.metrics) if record["kind"] == "hosts"]
        assert [record["step"] for record in records] == [10, 20, 30, 40]
        assert records[-1]["hosts"][socket.gethostname()]["host"] >= 0.1


@pytest.mark.slow
def test_a_thousand_undisturbed_steps_without_a_word(data: Path, tmp_path: Path) -> None:
    words = ("train.num_steps=1000", "train.eval_every_steps=100", "checkpoint.every_steps=50")
    words += ("guard.enabled=true", "guard.replica_check_every_steps=10")
    with launched(tmp_path / "run", data, "", *words) as launch:
        assert launch.codes() == [0, 0]
        kinds = {event["event"] for event in read_json_lines(launch.folder.events)}
        # What else runs on this machine may really slow one of the two; that is no false alarm.
        assert kinds - {"straggler"} == {"start", "save", "end", "exit"}
        # Its words, not the advice about a step that took long on a busy machine.
        assert "watchdog: " not in launch.log.read_text()
        assert not launch.folder.stacks.exists()
