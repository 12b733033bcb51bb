"""status.json, DONE and the last words of a process."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.state import TrainState
from jp_llm.train.status import LastWords, Status, say_refused

ROOT = Path(__file__).resolve().parents[3]


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


def test_a_refusal_is_noted_where_nothing_is_alive(tmp_path: Path) -> None:
    error = UserError("no data")
    say_refused(tmp_path / "absent", error)
    assert not (tmp_path / "absent").exists()
    code = f"""
from pathlib import Path
from jp_llm.runtime.errors import UserError
from jp_llm.train.status import say_refused
say_refused(Path({str(tmp_path)!r}), UserError("no data"))
"""
    with locked(tmp_path):
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        assert not (tmp_path / "status.json").exists()
    say_refused(tmp_path, error)
    found = read_json(tmp_path / "status.json")
    assert (found["state"], found["code"], found["reason"]) == ("failed", 3, "no data")
