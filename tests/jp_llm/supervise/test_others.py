"""What is not the supervisor's is left alone: a run of a person in the same folder, and a person's orders."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised import HEAD, ROOT, Supervised

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise.evidence import FOLDER_IS_HELD, Evidence

ALIVE = """
while True:
    beat(0, 3)
    (run_dir / "alive").touch()
    time.sleep(0.1)
"""


@pytest.fixture
def live_run(supervised: Supervised) -> Iterator[subprocess.Popen[bytes]]:
    """Of a person, without a supervisor."""
    script = supervised.folder / "live" / "train.py"
    script.parent.mkdir()
    script.write_text(HEAD + ALIVE)
    supervised.run_dir.mkdir()
    with subprocess.Popen([sys.executable, str(script), f"run_dir={supervised.run_dir}"]) as run:
        supervised.wait_for(supervised.run_dir / "alive")
        yield run
        run.kill()


def test_a_live_run_is_not_joined(supervised: Supervised, live_run: subprocess.Popen[bytes]) -> None:
    with locked(supervised.run_dir):
        begun = time.monotonic()
        code, output = supervised.run("sys.exit(3)")
        assert time.monotonic() - begun < 25
    assert code == 3
    assert "not started: " in output
    assert FOLDER_IS_HELD in output
    assert not list((supervised.run_dir / "logs").iterdir())[1:]  # the lock alone
    assert live_run.poll() is None


def test_a_run_that_came_in_between_is_not_killed(supervised: Supervised, live_run: subprocess.Popen[bytes]) -> None:
    # It had no lock yet when the supervisor looked.
    code, output = supervised.run("time.sleep(1); sys.exit(3)", "supervise.failed_seconds=0.2")
    assert code == 3, output
    assert "killing" not in output
    assert live_run.poll() is None


def test_a_restart_waits_for_what_is_left_of_the_last_start(supervised: Supervised) -> None:
    words = ("watchdog.beat_seconds=0.05", "watchdog.silence_seconds=0.2", "watchdog.grace_seconds=10.0")
    body = """
if start > 1:
    ended("done", 0, 20)
(run_dir / "alive").touch(); wait_for(run_dir / "go"); sys.exit(1)
"""
    supervised.start(body, *words)
    supervised.wait_for(supervised.run_dir / "alive")
    with locked(supervised.run_dir):
        (supervised.run_dir / "go").touch()
        time.sleep(4)
        assert len(supervised.events("attempt")) == 1
    code, output = supervised.end()
    assert code == 0, output
    assert len(supervised.events("attempt")) == 2


def test_a_folder_that_is_held_at_a_restart_is_tried_again(supervised: Supervised) -> None:
    body = f"""
if start == 1: sys.exit(1)
if start == 2:
    beat(0, 0, "ended", code=3, reason="UserError: x: {FOLDER_IS_HELD}; wait for it", attempt="")
    sys.exit(1)
ended("done", 0, 20)
"""
    code, output = supervised.run(body)
    assert code == 0, output
    assert [event["is_held"] for event in supervised.events("attempt_end")] == [False, True, False]


def test_the_words_of_a_lock_are_known(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError, match=FOLDER_IS_HELD), locked(tmp_path):
        pass


def test_only_heartbeats_of_this_start_count(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    evidence = Evidence(folder, "mine")
    folder.heartbeats.mkdir()
    for rank, attempt in enumerate(["mine", "", "theirs"]):
        beat = {"rank": rank, "attempt": attempt, "state": "running", "host": socket.gethostname(), "pid": 1}
        (folder.heartbeats / f"rank_{rank:05d}.json").write_text(json.dumps(beat))
    assert [beat["rank"] for beat in evidence.heartbeats()] == [0]
    (folder.heartbeats / "rank_00000.json").unlink()
    # Where a launcher takes no variables to its processes.
    assert [beat["rank"] for beat in evidence.heartbeats()] == [1]
    assert evidence.orphans() == []


@pytest.mark.parametrize("text", ["", "enough"])
def test_a_file_kill_between_two_starts_is_obeyed(supervised: Supervised, text: str) -> None:
    supervised.start('(run_dir / "alive").touch(); sys.exit(1)', "supervise.backoff_seconds=100.0")
    supervised.wait_for(supervised.run_dir / "alive")
    (supervised.run_dir / "KILL").write_text(text)
    code, output = supervised.end(30)
    assert code == 85, output
    assert len(supervised.events("attempt")) == 1
    assert (supervised.run_dir / "KILL.obeyed").read_text() == text


def test_a_person_who_wants_it_to_stop_counts_more_than_a_signal(supervised: Supervised) -> None:
    body = """
begun(); (run_dir / "alive").touch()
wait_for(run_dir / "go")
(run_dir / "KILL").replace(run_dir / "KILL.obeyed")
ended("saved", 85, 3, "signal to process 1, file KILL")
"""
    supervised.start(body)
    supervised.wait_for(supervised.run_dir / "alive")
    (supervised.run_dir / "KILL").write_text("enough")
    assert supervised.process is not None
    supervised.process.send_signal(signal.SIGTERM)
    threading.Timer(1.0, (supervised.run_dir / "go").touch).start()
    assert supervised.end()[0] == 85
    assert supervised.events("attempt_end")[0]["order"] == "person"
    assert (supervised.run_dir / "KILL.obeyed").read_text() == "enough"


def test_other_files_among_the_logs(supervised: Supervised) -> None:
    (supervised.run_dir / "logs").mkdir(parents=True)
    (supervised.run_dir / "logs" / "start_old.log").touch()
    (supervised.run_dir / "logs" / "start_0007.log").touch()
    assert supervised.run('ended("done", 0, 20)')[0] == 0
    assert supervised.events("attempt")[0]["number"] == 8


def test_samples_are_not_named_where_batches_were_left_out(supervised: Supervised) -> None:
    supervised.run_dir.mkdir()
    (supervised.run_dir / "interventions.json").write_text("[]")
    code, output = supervised.run('begun(); beat(0, 7, "ended", code=1, reason="boom"); sys.exit(1)')
    assert code == 1
    assert "at step 7: boom; it died 2 times" in output


def test_help_names_the_keys() -> None:
    words = [sys.executable, "launch/supervise.py", "--help"]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "usage: python launch/supervise.py torchrun" in result.stdout
    assert "supervise.fruitless_requeues=5" in result.stdout


def test_a_launcher_that_is_not_there_is_not_started(supervised: Supervised) -> None:
    code, output = supervised.run("", front=("torchrunn",))
    assert code == 2
    assert "is the virtual environment active?" in output
    assert not supervised.run_dir.exists()
