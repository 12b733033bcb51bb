"""A real watcher over processes that do nothing but beat and wait for each other."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime import files
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.host import boot_id, host_name, pid_namespace
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.heartbeat import ALARM, Beat, alarm_of, beat_path, read_beat
from jp_llm.watch.process import started as started_at
from jp_llm.watch.watcher import Watcher

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.distributed
SETTINGS = {
    "beat_seconds": 0.25,
    "silence_seconds": 3.0,
    "step_seconds": 5.0,
    "other_seconds": 30.0,
    "grace_seconds": 2.0,
}
FOREVER = 10**6


class Run:
    """Processes as a launcher would start them, but nothing ends one because another has ended."""

    def __init__(self, path: Path, order: dict[str, Any], size: int, hosts: list[str]) -> None:
        self.folder = RunFolder(path)
        self.log = path / "output.txt"
        (path / "notes").mkdir(parents=True, exist_ok=True)
        for rank in range(size):
            (path / "notes" / str(rank)).write_text("0")
        order |= {"run_dir": str(path)}
        self.processes = []
        for rank in range(size):
            local = [other for other in range(size) if hosts[other] == hosts[rank]]
            variables = World(rank, local.index(rank), size, len(local))
            environment = {
                "RANK": variables.rank,
                "LOCAL_RANK": variables.local_rank,
                "WORLD_SIZE": variables.size,
                "LOCAL_WORLD_SIZE": variables.local_size,
                # The name of a host, as Slurm gives it: several hosts on one machine.
                "SLURMD_NODENAME": hosts[rank],
            }
            with self.log.open("a") as log:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "tests/helpers/watched.py", json.dumps(order)],
                        cwd=ROOT,
                        env=os.environ | {name: str(value) for name, value in environment.items()},
                        stdout=log,
                        stderr=log,
                    )
                )

    def codes(self) -> list[int]:
        return [process.wait(60) for process in self.processes]

    def events(self, kind: str) -> list[dict[str, Any]]:
        if not self.folder.events.exists():
            return []
        return [event for event in read_json_lines(self.folder.events) if event["event"] == kind]

    def hang(self, kind: str, *ranks: int) -> dict[str, Any]:
        """The one event of a hang, after everybody has left."""
        self.codes()
        wait_until(lambda: not self.watchers())
        (event,) = self.events("hang")
        assert (event["kind"], [culprit["rank"] for culprit in event["culprits"]]) == (kind, list(ranks))
        status = read_json(self.folder.status)
        assert (status["state"], status["code"], status["time"]) == (
            "failed",
            ExitCode.HUNG,
            self.verdict(event)["time"],
        )
        assert status["host"] == event["culprits"][0]["host"]
        for word in event["words"]:
            assert f"watchdog: {word}\n" in self.log.read_text()
        return event

    def verdict(self, event: dict[str, Any]) -> Any:
        return read_json(self.folder.path / event["stacks"] / "verdict.json")

    def stacks(self, rank: int) -> str:
        (event,) = self.events("hang")
        return (self.folder.path / event["stacks"] / f"rank_{rank:05d}.txt").read_text()

    def watchers(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                text = path.read_bytes()
                if b"jp_llm.watch.watcher" in text and str(self.folder.path).encode() in text:
                    found.append(int(path.parent.name))
        return found

    def reach(self, step: int) -> None:
        def far() -> bool:
            beats = [read_beat(self.folder, rank) for rank in range(len(self.processes))]
            return all(beat is not None and beat.step >= step for beat in beats)

        wait_until(far)

    def send(self, number: signal.Signals, *processes: int) -> None:
        for process in processes:
            os.kill(process, number)


@contextmanager
def started(
    path: Path,
    size: int = 2,
    *,
    steps: int = FOREVER,
    hosts: list[str] | None = None,
    settings: Any = None,
    **fault: Any,
) -> Iterator[Run]:
    """Processes that are gone afterwards, and their watchers with them."""
    order = {"steps": steps, "fault": fault, "settings": SETTINGS | (settings or {})}
    run = Run(path / "run", order, size, hosts or ["one"] * size)
    try:
        yield run
    finally:
        for process in run.processes:
            process.kill()
            process.wait()
        wait_until(lambda: not run.watchers())


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def line_of(text: str) -> int:
    lines = (ROOT / "tests/helpers/watched.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_nothing_is_said_of_a_run_that_ends_well(tmp_path: Path) -> None:
    with started(tmp_path, steps=100) as run:
        assert run.codes() == [0, 0]
        wait_until(lambda: not run.watchers())
        assert "watchdog: " not in run.log.read_text()
        assert not run.folder.events.exists()
        assert not run.folder.status.exists()
        for rank in (0, 1):
            beat = read_json(run.folder.heartbeats / f"rank_{rank:05d}.json")
            assert (beat["state"], beat["code"], beat["step"], beat["phase"]) == ("ended", 0, 100, "end")


def test_a_stopped_process_is_named_and_everybody_leaves(tmp_path: Path) -> None:
    with started(tmp_path, 3) as run:
        run.reach(20)
        run.send(signal.SIGSTOP, run.processes[1].pid)
        event = run.hang("stopped", 1)
        assert run.codes() == [124, 124, 124]
        assert event["culprits"][0]["pid"] == run.processes[1].pid
        assert "it was stopped by a signal" in run.stacks(1)
        for rank in range(3):
            assert "(most recent call first)" in run.stacks(rank)
            beat = read_beat(run.folder, rank)
            assert beat is not None
            assert (beat.state, beat.code) == ("ended", ExitCode.HUNG)


def test_a_process_that_sleeps_is_named_with_the_line(tmp_path: Path) -> None:
    with started(tmp_path, 3, kind="sleep", rank=2, step=50) as run:
        event = run.hang("late", 2)
        assert event["culprits"][0]["step"] == 50
        assert read_json(run.folder.status)["step"] == 49
        assert event["words"][-1].endswith(f"watched.py:{line_of('time.sleep(1000)')} in work")
        assert run.codes() == [124, 124, 124]


def test_a_process_that_keeps_the_interpreter_is_named_and_killed(tmp_path: Path) -> None:
    with started(tmp_path, kind="hold", rank=0, step=50) as run:
        event = run.hang("silent", 0)
        assert event["words"][-1].endswith(f"watched.py:{line_of('for ever')} in work")
        assert run.codes() == [-signal.SIGKILL, 124]


def test_a_dead_process_is_named_at_once_and_the_others_do_not_wait_for_ever(tmp_path: Path) -> None:
    with started(tmp_path, kind="exit", rank=1, step=50) as run:
        event = run.hang("died", 1)
        (death,) = run.events("died")
        assert (death["rank"], death["host"], death["pid"]) == (1, "one", run.processes[1].pid)
        assert death["time"] <= event["time"] - 1
        assert run.codes() == [124, 7]


def test_a_process_that_fails_while_others_wait(tmp_path: Path) -> None:
    with started(tmp_path, kind="fail", rank=1, step=50) as run:
        event = run.hang("failed", 1)
        assert "failed with exit code 1 (RuntimeError: a fault of the test)" in event["words"][0]
        assert run.codes() == [124, 1]
        assert not run.events("died")


def test_the_first_process_of_a_node_dies_and_its_watcher_still_ends_the_others(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.reach(20)
        run.processes[0].kill()
        run.hang("died", 0)
        assert run.codes() == [-signal.SIGKILL, 124]


def test_who_is_killed_all_together_leaves_no_watcher_and_no_word(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.reach(5)
        run.send(signal.SIGSTOP, *run.watchers())
        for process in run.processes:
            process.kill()
            process.wait()
        run.send(signal.SIGCONT, *run.watchers())
        wait_until(lambda: not run.watchers())
        assert "watchdog: " not in run.log.read_text()


def test_a_slow_save_is_not_a_hang(tmp_path: Path) -> None:
    with started(tmp_path, steps=60, kind="save", rank=0, step=50, seconds=7) as run:
        assert run.codes() == [0, 0]
        assert not run.folder.stacks.exists()


@pytest.mark.parametrize("with_watcher", [True, False], ids=["the job", "its processes"])
def test_who_was_suspended_goes_on(with_watcher: bool, tmp_path: Path) -> None:
    with started(tmp_path, steps=300) as run:
        run.reach(20)
        suspended = [process.pid for process in run.processes] + (run.watchers() if with_watcher else [])
        run.send(signal.SIGSTOP, *suspended)
        time.sleep(2 * SETTINGS["step_seconds"])
        run.send(signal.SIGCONT, *suspended)
        assert run.codes() == [0, 0]
        assert "watchdog: " not in run.log.read_text()


def test_two_hosts_have_a_watcher_each_and_speak_once(tmp_path: Path) -> None:
    with started(tmp_path, 4, hosts=["n1", "n1", "n2", "n2"]) as run:
        run.reach(20)
        assert len(run.watchers()) == 2
        run.send(signal.SIGSTOP, run.processes[3].pid)
        event = run.hang("stopped", 3)
        assert event["culprits"][0]["host"] == "n2"
        assert run.codes() == [124] * 4
        for rank in range(4):
            assert "(most recent call first)" in run.stacks(rank)


def test_a_start_after_a_hang_is_not_ended_by_the_old_verdict(tmp_path: Path) -> None:
    with started(tmp_path, 3, kind="sleep", rank=1, step=5) as run:
        run.hang("late", 1)
    with started(tmp_path, 3, steps=100) as run:
        assert run.codes() == [0, 0, 0]
    assert len(run.events("hang")) == 1


def test_without_watching_there_are_heartbeats_and_no_watcher(tmp_path: Path) -> None:
    with started(tmp_path, settings={"enabled": False}) as run:
        run.reach(20)
        assert run.watchers() == []
        beat = read_beat(run.folder, 1)
        assert beat is not None
        assert (beat.rank, beat.pid, beat.state) == (1, run.processes[1].pid, "running")
        assert beat.host == "one" != socket.gethostname()


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    """In this process, of two: nothing is ended, and the clock goes as the test says."""
    folder = RunFolder(tmp_path / "run")
    folder.heartbeats.mkdir(parents=True)
    settings = WatchdogConfig(beat_seconds=5, silence_seconds=20, grace_seconds=2)
    made = Watcher(folder, settings, rank=0, size=2, local_size=1, before={})
    for rank in (0, 1):
        write_beat(folder, replace(OWN, rank=rank))
    return made


OWN = Beat(0, host_name(), boot_id(), os.getpid(), pid_namespace(), "of the test", 7, "step", False, 0, 0, "running")


def write_beat(folder: RunFolder, beat: Beat) -> None:
    beat_path(folder, beat.rank).write_text(json.dumps(asdict(beat)))


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def look(watcher: Watcher, monkeypatch: pytest.MonkeyPatch, seconds: int) -> list[float]:
    """Look once a second; for how long each process was silent then."""
    begin = time.monotonic()
    for second in range(seconds):
        with monkeypatch.context() as patch:
            patch.setattr("time.monotonic", lambda second=second: begin + second)
            watcher._look(1.0)
    watcher._next_reading = 0.0
    return [each.silent for each in watcher._record.seen()]


def test_while_the_disk_is_full_the_clock_stands_still(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(watcher, monkeypatch, 5) == [5.0, 5.0]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert look(watcher, monkeypatch, 64) == [5.0, 5.0]
    assert look(watcher, monkeypatch, 3) == [8.0, 8.0]
    assert not list(watcher.folder.heartbeats.glob("*.tmp"))


def test_an_alarm_that_the_disk_had_no_room_for_can_be_raised_again(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(watcher, monkeypatch, 1)
    with monkeypatch.context() as patch:
        patch.setattr(files, "json", type("Full", (), {"dumps": full}))
        assert watcher._raise(watcher._record.seen()) is None
    assert alarm_of(watcher.folder, [OWN.process]) is None
    alarm = watcher._raise(watcher._record.seen())
    assert alarm is not None
    assert alarm_of(watcher.folder, [OWN.process]) == alarm
    # Nobody else raises it again, and nothing but the alarm is left.
    assert watcher._raise(watcher._record.seen()) is None
    assert [path.name for path in alarm.iterdir()] == [ALARM]


def test_a_file_system_without_links_has_alarms_too(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    look(watcher, monkeypatch, 1)
    monkeypatch.setattr(os, "link", refuse)
    assert watcher._raise(watcher._record.seen()) is not None
    assert alarm_of(watcher.folder, [OWN.process]) is not None
    assert watcher._raise(watcher._record.seen()) is None


def test_a_process_of_a_machine_of_the_same_name_is_not_looked_up_here(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = next(pid for pid in range(4_000_000, 1, -1) if started_at(pid) is None)
    write_beat(watcher.folder, replace(OWN, rank=1, boot="another", pid=unused))
    look(watcher, monkeypatch, 3)
    assert [each.condition for each in watcher._record.seen()] == ["running", "remote"]


def test_a_watcher_whose_processes_never_showed_up_ends(tmp_path: Path) -> None:
    settings = WatchdogConfig(beat_seconds=0.25, silence_seconds=2, grace_seconds=1).model_dump()
    order = {"run_dir": str(tmp_path), "rank": 0, "size": 2, "local_size": 2, "settings": settings, "before": {}}
    process = subprocess.Popen([sys.executable, "-m", "jp_llm.watch.watcher"], cwd=ROOT, stdin=subprocess.PIPE)
    try:
        process.communicate((json.dumps(order) + "\n").encode(), timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
