"""status.json, DONE and the last words of a process."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tiny import run_config

from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train import status as module
from jp_llm.train.state import TrainState
from jp_llm.train.status import LastWords, Status, held, say_refused
from jp_llm.watch.heartbeat import read_beat


class Heart:
    """Notes what it is told instead of writing a heartbeat."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []

    def close(self, code: int = 0, reason: str = "") -> None:
        self.closed.append((code, reason))


def last_words(folder: Path, rank: int = 0, step: int = 7) -> LastWords:
    status = Status(RunFolder(folder), World(rank=rank, size=2))
    status.state = TrainState(step=step)
    return LastWords(status, Heart())  # type: ignore[arg-type]


def end_with(error: BaseException, words: LastWords, close: Callable[[], object]) -> None:
    """As a run does that fails when it is put together, or later."""
    with ExitStack() as stack:
        stack.push(words.on_exit)
        stack.callback(close)
        stack.push(words.on_exit)
        raise error


def test_running_and_done_and_running_again(tmp_path: Path) -> None:
    words = last_words(tmp_path)
    words.status.running()
    assert read_json(tmp_path / "status.json")["state"] == "running"
    assert read_json(tmp_path / "status.json")["code"] is None
    words.say(ExitCode.DONE)
    assert read_json(tmp_path / "DONE")["step"] == 7
    found = read_json(tmp_path / "status.json")
    assert (found["state"], found["code"], found["step"]) == ("done", 0, 7)
    # It is watched until all processes have met and left.
    assert words.pulse.closed == []  # type: ignore[attr-defined]
    last_words(tmp_path).status.running()
    assert not (tmp_path / "DONE").exists()


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ValueError("bad tensor"), 1, "ValueError: bad tensor"),
        (UserError("diverged", code=ExitCode.NOT_TRUSTWORTHY), 17, "diverged"),
        (KeyboardInterrupt(), 1, "KeyboardInterrupt: "),
    ],
)
def test_an_exception_is_said_once_and_before_anything_is_closed(
    tmp_path: Path, error: BaseException, code: int, reason: str
) -> None:
    words = last_words(tmp_path)
    said_before_closing = []
    with pytest.raises(type(error)):
        end_with(error, words, lambda: said_before_closing.append((tmp_path / "status.json").exists()))
    assert said_before_closing == [True]
    found = read_json(tmp_path / "status.json")
    assert (found["state"], found["code"], found["step"], found["reason"]) == ("failed", code, 7, reason)
    (event,) = read_json_lines(tmp_path / "events.jsonl")
    assert (event["event"], event["code"], event["step"], event["reason"]) == ("exit", code, 7, reason)
    assert words.pulse.closed == [(code, reason)]  # type: ignore[attr-defined]


def test_another_process_says_it_with_its_heartbeat_only(tmp_path: Path) -> None:
    words = last_words(tmp_path, rank=1)
    words.status.running()
    with pytest.raises(ValueError, match="boom"):
        end_with(ValueError("boom"), words, lambda: None)
    assert words.pulse.closed == [(1, "ValueError: boom")]  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_without_an_exception_nothing_is_said(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.push(last_words(tmp_path).on_exit)
    assert list(tmp_path.iterdir()) == []


def refused(folder: Path, error: UserError, rank: int = 0) -> dict[str, Any]:
    """status.json after a process was refused."""
    with patch.dict(os.environ, {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}):
        say_refused(run_config(run_dir=str(folder), watchdog={"beat_seconds": 0.1}), error)
    return read_json(folder / "status.json") if (folder / "status.json").exists() else {}


def test_a_refusal_is_noted_where_nothing_is_alive(tmp_path: Path) -> None:
    error = UserError("no data")
    assert refused(tmp_path / "absent", error) == {}
    assert not (tmp_path / "absent").exists()
    # A lock goes with the open file, so that this process refuses itself.
    with locked(tmp_path):
        assert refused(tmp_path, error) == {}
    last_words(tmp_path).status.running()
    found = refused(tmp_path, error)
    # It stands where it stood.
    assert (found["state"], found["code"], found["step"], found["reason"]) == ("failed", 3, 7, "no data")


def test_a_refusal_that_only_another_process_sees_is_in_its_heartbeat(tmp_path: Path) -> None:
    assert refused(tmp_path, UserError("/data: not mounted"), rank=1) == {}
    beat = read_beat(RunFolder(tmp_path), 1)
    assert beat is not None
    assert (beat.state, beat.code, beat.reason) == ("ended", 3, "/data: not mounted")
    assert [path.name for path in (tmp_path / "heartbeats").iterdir()] == ["rank_00001.json"]


@pytest.mark.parametrize("code", [ExitCode.CONFIG_REFUSED, ExitCode.PREFLIGHT_REFUSED])
def test_a_run_that_is_complete_stays_so_when_another_start_is_refused(tmp_path: Path, code: ExitCode) -> None:
    last_words(tmp_path).status.ended(ExitCode.DONE, "")
    before = read_json(tmp_path / "status.json")
    assert refused(tmp_path, UserError("no", code=code)) == before


def test_a_refused_configuration_changes_no_status(tmp_path: Path) -> None:
    last_words(tmp_path).status.ended(ExitCode.SAVED, "file KILL")
    before = read_json(tmp_path / "status.json")
    assert refused(tmp_path, UserError("no", code=ExitCode.CONFIG_REFUSED)) == before
    beat = read_beat(RunFolder(tmp_path), 0)
    assert beat is not None
    assert beat.code == 2


def test_only_process_0_holds_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    folder = RunFolder(tmp_path)
    with held(folder, World(0, 0, 2)):
        with held(folder, World(1, 1, 2)):
            pass
        with pytest.raises(UserError, match="another run is working in this folder") as caught, held(folder, World()):
            pass
    # It may have ended when a supervisor tries again.
    assert caught.value.code == ExitCode.UNEXPECTED


@pytest.mark.parametrize(("number", "code"), [(errno.ESTALE, 1), (errno.ECONNRESET, 1), (errno.EACCES, 3)])
def test_a_network_disk_that_is_away_for_a_moment_is_no_refusal(tmp_path: Path, number: int, code: int) -> None:
    words = last_words(tmp_path)
    with pytest.raises(OSError, match="x"):
        end_with(OSError(number, "x"), words, lambda: None)
    assert read_json(tmp_path / "status.json")["code"] == code
