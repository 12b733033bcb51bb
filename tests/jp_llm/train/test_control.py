"""Signals and files become one decision of all processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jp_llm.runtime.env import World
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train import control as module
from jp_llm.train.control import Control, Orders

ROOT = Path(__file__).resolve().parents[3]
WORLD_SIZE = 4


@pytest.fixture
def controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Control]:
    """Those of all processes of a run."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    return [Control(RunFolder(tmp_path), World(rank=rank, size=WORLD_SIZE)) for rank in range(WORLD_SIZE)]


def agreed(controls: list[Control]) -> Orders:
    votes = [control.votes() for control in controls]
    orders = {control.orders(tuple(map(sum, zip(*votes, strict=True)))) for control in controls}
    assert len(orders) == 1, "every process must do the same"
    return orders.pop()


def test_without_an_order_nothing_happens(controls: list[Control]) -> None:
    assert agreed(controls) == Orders()


def test_a_signal_to_any_process_stops_all_and_names_it(controls: list[Control]) -> None:
    controls[2].signals.hear(signal.SIGUSR2)
    orders = agreed(controls)
    assert orders == Orders(save=True, stop=True, reason="signal to process 2")
    assert controls[0].stop_reason == orders.reason


def test_signals_to_several_processes(controls: list[Control]) -> None:
    for control in controls[1:]:
        control.signals.hear(signal.SIGTERM)
    assert agreed(controls).reason == "signal to 3 processes"


def test_the_file_save_is_obeyed_once(controls: list[Control], tmp_path: Path) -> None:
    (tmp_path / "SAVE").touch()
    assert agreed(controls) == Orders(save=True, stop=False, reason="file SAVE")
    assert agreed(controls) == Orders()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SAVE.obeyed"]


def test_the_file_kill_stops_and_is_gone_for_the_next_start(controls: list[Control], tmp_path: Path) -> None:
    (tmp_path / "KILL").touch()
    (tmp_path / "SAVE").touch()
    assert agreed(controls) == Orders(save=True, stop=True, reason="file KILL, file SAVE")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["KILL.obeyed", "SAVE.obeyed"]


def test_the_folder_is_looked_at_at_most_once_a_second(tmp_path: Path) -> None:
    control = Control(RunFolder(tmp_path), World())
    assert not any(control.votes())
    (tmp_path / "KILL").touch()
    assert not any(control.votes())
    time.sleep(1.0)
    assert control.votes() == (0.0, 1.0, 0.0, 0.0)


def listening(body: str) -> subprocess.Popen[str]:
    """A process that listens and then runs `body`."""
    code = f"""
import os, signal, sys, time
from jp_llm.train.control import Signals
signals = Signals().listen()
assert "torch" not in sys.modules
print("ready", flush=True)
{body}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_same_order_may_arrive_late_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now, left = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.os, "_exit", left.append)
    signals = module.Signals()
    signals.hear(signal.SIGTERM)
    now[0] += 9.0
    signals.hear(signal.SIGTERM)
    assert left == []
    signals.hear(signal.SIGINT)
    assert left == [128 + signal.SIGINT]
    now[0] += 1.0
    signals.hear(signal.SIGTERM)
    assert left == [128 + signal.SIGINT, 128 + signal.SIGTERM]


# A mutex of C that is locked twice: the main thread does not come back to Python, where a handler would run.
BLOCKED = """
import ctypes
mutex = ctypes.create_string_buffer(64)
for _ in range(2):
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize("number", module.STOP_SIGNALS)
def test_one_signal_is_noted_also_when_it_comes_twice_at_once(number: signal.Signals) -> None:
    process = listening("time.sleep(1.5)\nprint(signals.received.name)")
    for _ in range(3):
        process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.strip() == number.name


def test_a_later_second_signal_ends_a_process_that_is_stuck_in_c() -> None:
    process = listening(BLOCKED)
    try:
        process.send_signal(signal.SIGUSR2)
        time.sleep(module._OTHER_SIGNAL_SECONDS + 0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
