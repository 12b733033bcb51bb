"""What is left of a start when its launcher or its supervisor is gone: nothing."""

import signal
import subprocess
import sys
import time

from supervised import HEAD, Supervised

ORPHANS = """
if start > 1:
    ended("done", 0, 20)
if len(sys.argv) > 1 and sys.argv[1] == "orphan":
    beat(0, 3)
    (run_dir / "alive").touch()
    time.sleep(1000)
# A session of its own, and then its parent goes.
subprocess.Popen([sys.executable, __file__, "orphan", *sys.argv[1:]], start_new_session=True)
wait_for(run_dir / "alive")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_of_a_launcher_that_was_killed(supervised: Supervised) -> None:
    code, output = supervised.run(ORPHANS)
    assert code == 0, output
    assert not supervised.processes()


def test_a_process_that_a_daemon_started_is_found_by_its_heartbeat(supervised: Supervised) -> None:
    """As with ssh to this machine: it is no descendant of the supervisor."""
    script = supervised.folder / "remote" / "train.py"
    script.parent.mkdir()
    supervised.run_dir.mkdir()
    code = 'beat(0, 3); (run_dir / "alive").touch(); time.sleep(1000)'
    script.write_text(HEAD + f'wait_for(run_dir / "go")\n{code}')
    with subprocess.Popen([sys.executable, str(script), f"run_dir={supervised.run_dir}"]) as remote:
        try:
            body = """
if start == 1:
    (run_dir / "go").touch(); wait_for(run_dir / "alive"); sys.exit(1)
ended("done", 0, 20)
"""
            result, output = supervised.run(body)
            assert result == 0, output
            assert remote.wait(5) == -signal.SIGKILL
        finally:
            remote.kill()
    assert f"killing processes that outlived their launcher: {remote.pid}" in output


def test_nothing_outlives_a_supervisor_that_was_killed(supervised: Supervised) -> None:
    supervised.start(ORPHANS.replace("os.kill(os.getpid(), signal.SIGKILL)", "time.sleep(1000)"))
    supervised.wait_for(supervised.run_dir / "alive")
    assert len(supervised.processes()) == 3  # keeper, launcher and the process in another session
    assert supervised.process is not None
    supervised.process.kill()
    supervised.process.communicate()
    deadline = time.monotonic() + 10
    while supervised.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not supervised.processes()


def test_a_launcher_that_waits_for_a_failed_process_for_ever_is_killed(supervised: Supervised) -> None:
    body = """
if start > 1:
    ended("done", 0, 20)
begun()
beat(0, 3)
beat(1, 3, "ended", code=1, reason="boom")
time.sleep(1000)
"""
    code, output = supervised.run(body, "supervise.failed_seconds=0.5")
    assert code == 0, output
    assert "killing the launcher, which does not end: process 1 on" in output
    assert supervised.events("attempt_end")[0]["reason"].startswith("boom; ")
