"""What a process says of itself, without a watcher."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch import heartbeat as module
from jp_llm.watch.heartbeat import (
    ALARM,
    VERDICT,
    Beat,
    Pulse,
    alarm_of,
    beat_path,
    earlier_beats,
    raw_stacks_path,
    read_beat,
)
from jp_llm.watch.process import age
from jp_llm.watch.stacks import parse

SETTINGS = WatchdogConfig(enabled=False, beat_seconds=0.05, silence_seconds=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def beat_of(folder: RunFolder) -> Beat:
    beat = read_beat(folder, 3)
    assert beat is not None
    return beat


def test_phases_of_a_run(folder: RunFolder) -> None:
    with Pulse(folder, World(3, 3, 4, 4), SETTINGS) as pulse:
        first = beat_of(folder)
        assert (first.rank, first.pid, first.step, first.phase, first.state) == (3, os.getpid(), 0, "start", "running")
        for phase, step, is_first in (("data", 8, True), ("step", 8, True), ("save", 8, False), ("step", 9, False)):
            pulse.at(phase, step)
            wait_until(lambda phase=phase, step=step: (beat_of(folder).phase, beat_of(folder).step) == (phase, step))
            assert beat_of(folder).first == is_first
            assert first.time <= beat_of(folder).since <= beat_of(folder).time <= time.time()
        assert beat_of(folder).process == first.process
    assert (beat_of(folder).state, beat_of(folder).code, beat_of(folder).phase) == ("ended", 0, "end")


def test_the_file_has_the_documented_fields(folder: RunFolder) -> None:
    with Pulse(folder, World(3, 3, 4, 4), SETTINGS):
        documented = {"rank", "host", "pid", "step", "phase", "since", "time", "state", "code", "reason"}
        assert documented < json.loads(beat_path(folder, 3).read_text()).keys()


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RuntimeError("connection\nclosed"), 1, "RuntimeError: connection\nclosed"),
        (UserError("no", "twice", code=ExitCode.CONFIG_REFUSED), 2, "no\ntwice"),
    ],
)
def test_an_error_is_the_last_word(folder: RunFolder, error: Exception, code: int, reason: str) -> None:
    pulse = Pulse(folder, World(3, 3, 4, 4), SETTINGS)
    with pytest.raises(type(error)), pulse:
        raise error
    assert (beat_of(folder).state, beat_of(folder).code, beat_of(folder).reason) == ("ended", code, reason)
    pulse.close()
    assert beat_of(folder).code == code


def test_a_pulse_that_was_not_entered_writes_nothing(folder: RunFolder) -> None:
    pulse = Pulse(folder, World(), SETTINGS)
    pulse.at("data", 1)
    pulse.close()
    assert not folder.path.exists()


def test_a_folder_that_cannot_be_written_is_refused_with_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="choose another run_dir"),
        Pulse(RunFolder(tmp_path / "file"), World(), SETTINGS),
    ):
        pass


def test_a_full_disk_does_not_end_a_run(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with Pulse(folder, World(3, 3, 4, 4), SETTINGS) as pulse:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.replace", full)
            pulse.at("step", 5)
            time.sleep(0.3)
            assert beat_of(folder).step == 0
        wait_until(lambda: beat_of(folder).step == 5)
    assert not list(folder.heartbeats.glob("*.tmp"))


def test_the_files_of_a_live_run_are_left_alone(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder.path)], stdin=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: read_beat(folder, 3) is not None)
        stacks = raw_stacks_path(folder, 3).read_text()
        second = Pulse(folder, World(3, 3, 4, 4), SETTINGS)
        with pytest.raises(UserError, match="another run is working in this folder") as caught, second:
            pass
        assert caught.value.code == ExitCode.UNEXPECTED
        second.refuse(UserError("no"))
        assert (beat_of(folder).pid, beat_of(folder).state) == (child.pid, "running")
        assert raw_stacks_path(folder, 3).read_text() == stacks
        # Seen from another host, by its heartbeats alone.
        monkeypatch.setattr(module, "host_name", lambda: "elsewhere")
        with pytest.raises(UserError, match="another run is working in this folder"), second:
            pass
    finally:
        child.kill()
        child.communicate()
    # It is dead and has not said so.
    assert beat_of(folder).state == "running"
    with Pulse(folder, World(3, 3, 4, 4), SETTINGS):
        assert beat_of(folder).pid == os.getpid()


def test_an_old_number_of_a_process_that_is_another_now_holds_nobody_up(folder: RunFolder) -> None:
    with Pulse(folder, World(3, 3, 4, 4), SETTINGS):
        old = json.loads(beat_path(folder, 3).read_text())
    child = subprocess.Popen(["sleep", "60"])
    try:
        beat_path(folder, 3).write_text(json.dumps(old | {"pid": child.pid, "time": time.time() - 60}))
        with Pulse(folder, World(3, 3, 4, 4), SETTINGS):
            assert beat_of(folder).pid == os.getpid()
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"rank": 1}', "null"])
def test_what_is_no_heartbeat_is_none(folder: RunFolder, text: str) -> None:
    folder.heartbeats.mkdir(parents=True)
    beat_path(folder, 3).write_text(text)
    assert read_beat(folder, 3) is None


def test_the_heartbeat_of_a_faster_process_of_this_start_is_not_taken_for_an_old_one(folder: RunFolder) -> None:
    with Pulse(folder, World(3, 3, 8, 4), SETTINGS):
        pass
    beat = beat_of(folder)
    others = {
        0: {"time": beat.time - age() - 1},  # before this process was started
        6: {"boot": "of another machine"},  # whose clock may be wrong
    }
    for rank, changes in others.items():
        beat_path(folder, rank).write_text(json.dumps(asdict(beat) | {"rank": rank} | changes))
    assert earlier_beats(folder, 8) == {0: pytest.approx(beat.time - age() - 1, abs=1), 6: beat.time}


def test_the_signal_writes_stacks_and_disturbs_nothing(folder: RunFolder) -> None:
    with Pulse(folder, World(3, 3, 4, 4), SETTINGS):
        os.kill(os.getpid(), signal.SIGURG)
        text = raw_stacks_path(folder, 3).read_text()
    stack = parse(text)
    assert stack is not None
    assert stack.frames[0].function == "test_the_signal_writes_stacks_and_disturbs_nothing"
    assert "in _run" in text  # the thread that beats


def test_only_an_alarm_that_names_the_process_concerns_it(folder: RunFolder) -> None:
    for name, text in {"a": '{"processes": ["one"]}', "b": '{"proc', "c": "[]", "d": '{"processes": ["two"]}'}.items():
        (folder.stacks / name).mkdir(parents=True)
        (folder.stacks / name / ALARM).write_text(text)
    assert alarm_of(folder, ["two"]) == folder.stacks / "d"
    assert alarm_of(folder, ["three"]) is None


CHILD = """
import sys, time
from pathlib import Path
from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import World
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.heartbeat import Pulse

settings = WatchdogConfig(enabled=False, beat_seconds=0.05, silence_seconds=1.0, grace_seconds=5.0)
with Pulse(RunFolder(Path(sys.argv[1])), World(3, 3, 4, 4), settings):
    sys.stdin.readline()
    raise RuntimeError("the others have left")
"""


@pytest.mark.parametrize("fails", [False, True], ids=["while it waits", "while it fails"])
def test_a_verdict_ends_the_process_with_its_code(folder: RunFolder, fails: bool) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder.path)], stdin=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: read_beat(folder, 3) is not None)
        alarm = folder.stacks / "now"
        alarm.mkdir(parents=True)
        (alarm / ALARM).write_text(json.dumps({"processes": [beat_of(folder).process]}))
        if fails:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        time.sleep(0.5)
        assert child.poll() is None  # stacks are still to be written
        (alarm / VERDICT).write_text("{}")
        assert child.wait(20) == ExitCode.HUNG
    finally:
        child.kill()
        child.communicate()
    assert (beat_of(folder).state, beat_of(folder).code) == ("ended", ExitCode.HUNG)
