"""What the supervisor does when a start has ended, and when it is told to stop."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from supervised import NUM_STEPS, ROOT, Supervised


def test_crash_false_zero_and_the_end(supervised: Supervised) -> None:
    body = """
os.write(1, f"start {start}\\n".encode())  # in one piece: the log holds both streams
os.write(2, b"to stderr\\n")
if start == 1:
    begun(); beat(0, 3); sys.exit(0)  # as deepspeed does when its launcher was killed
if start == 2:
    begun(); beat(0, 5); os.kill(os.getpid(), signal.SIGKILL)
if start == 3:
    sys.exit(1)
ended("done", 0, 20)
"""
    code, output = supervised.run(body)
    assert code == 0, output
    endings = supervised.events("attempt_end")
    assert [(end["cause"], end["code"], end["step"]) for end in endings] == [
        (1, 0, 3),
        (1, 137, 5),
        (1, 1, None),
        (0, 0, 20),
    ]
    silent = f"process 0 on {socket.gethostname()} ended without a word"
    assert endings[0]["reason"] == (
        f"{silent}; the launcher returned 0, but the last step is not saved (samples 16 to 23)"
    )
    assert "SIGKILL" in endings[1]["reason"]
    assert [event["number"] for event in supervised.events("attempt")] == [1, 2, 3, 4]
    log = (supervised.run_dir / "logs" / "start_0001.log").read_text()
    assert sorted(log.splitlines()) == ["start 1", "to stderr"]
    assert "start 4" in output
    assert "to stderr" in output


@pytest.mark.parametrize("code", [2, 3, 17])
def test_what_a_restart_cannot_mend_is_not_started_again(supervised: Supervised, code: int) -> None:
    # torchrun returns 1 whatever its processes returned: the run says itself what it was.
    result, output = supervised.run(f'ended("failed", {code}, 4, "because of this")')
    assert result == code
    assert "because of this" in output
    assert len(supervised.events("attempt")) == 1


def test_the_words_of_the_process_that_knows_count_and_not_those_of_the_launcher(supervised: Supervised) -> None:
    body = """
begun()
beat(0, 4, "ended", code=1, reason="Connection closed by peer")
beat(3, 4, "ended", code=17, reason="diverged")
sys.exit(1)
"""
    code, output = supervised.run(body)
    assert code == 17
    assert "diverged" in output


def test_the_same_step_twice_is_the_end_with_step_samples_and_reason(supervised: Supervised) -> None:
    body = """
begun()
beat(1, 7, "ended", code=1, reason="ValueError: bad tensor")
ended("failed", 1, 6, "")
"""
    code, output = supervised.run(body)
    assert code == 1
    assert len(supervised.events("attempt")) == 2
    assert "at step 7: ValueError: bad tensor (samples 48 to 55); it died 2 times at this step" in output


def test_what_an_earlier_start_wrote_proves_nothing(supervised: Supervised) -> None:
    supervised.run('begun(); beat(0, 3, "ended", code=17, reason="old"); ended("failed", 17, 3, "old")')
    code, output = supervised.run('if start == 2: sys.exit(1)\nended("done", 0, 20)')
    assert code == 0, output
    assert supervised.events("attempt_end")[1]["cause"] == 1


def test_done_of_fewer_steps_is_not_done(supervised: Supervised) -> None:
    assert supervised.run('ended("done", 0, 20)')[0] == 0
    code, output = supervised.run('if start == 2: sys.exit(0)\nended("done", 0, 30)', "train.num_steps=30")
    assert code == 0, output
    assert len(supervised.events("attempt")) == 3


LONG = """
def leave(*_):
    pass
begun()
beat(0, 3)
(run_dir / "alive").touch()
wait_for(run_dir / "KILL")
(run_dir / "KILL").replace(run_dir / "KILL.obeyed")
time.sleep(float(os.environ.get("SAVE_SECONDS", "0")))
ended("saved", 85, 3, "file KILL")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_saves_and_stops(supervised: Supervised, number: signal.Signals) -> None:
    supervised.start(LONG)
    supervised.wait_for(supervised.run_dir / "alive")
    assert supervised.process is not None
    supervised.process.send_signal(number)
    code, output = supervised.end()
    assert code == 85
    assert "saved and stopped at step 3" in output
    assert not (supervised.run_dir / "KILL").exists()
    assert supervised.events("attempt_end")[0]["order"] == "signal"


def test_a_second_signal_ends_everything_at_once(supervised: Supervised) -> None:
    supervised.environment["SAVE_SECONDS"] = "1000"
    supervised.start(LONG)
    supervised.wait_for(supervised.run_dir / "alive")
    assert supervised.process is not None
    supervised.process.send_signal(signal.SIGTERM)
    supervised.process.send_signal(signal.SIGTERM)  # the same one, delivered twice
    supervised.wait_for(supervised.run_dir / "KILL.obeyed")
    time.sleep(2.1)
    supervised.process.send_signal(signal.SIGTERM)
    code, output = supervised.end(20)
    assert code == 1
    assert "not saved" in output
    assert not supervised.processes()


def test_a_run_that_does_not_obey_is_ended_in_time(supervised: Supervised) -> None:
    supervised.environment["SAVE_SECONDS"] = "1000"
    supervised.start(LONG, "supervise.stop_seconds=1.0")
    supervised.wait_for(supervised.run_dir / "alive")
    assert supervised.process is not None
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end(20)[0] == 1
    assert not supervised.processes()


def test_a_signal_while_it_waits_for_a_restart(supervised: Supervised) -> None:
    supervised.start('(run_dir / "alive").touch(); sys.exit(1)', "supervise.backoff_seconds=100.0")
    supervised.wait_for(supervised.run_dir / "alive")
    time.sleep(1.0)
    assert supervised.process is not None
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.end(20)[0] == 85


def test_the_file_kill_stops_for_good(supervised: Supervised) -> None:
    supervised.start(LONG)
    supervised.wait_for(supervised.run_dir / "alive")
    (supervised.run_dir / "KILL").touch()
    code, _ = supervised.end()
    assert code == 85
    assert supervised.events("attempt_end")[0]["order"] == "person"


OBEDIENT = """
if start > 1:
    ended("saved", 85, 3, "file KILL") if (run_dir / "KILL").exists() else ended("done", 0, 20)
(run_dir / "alive").touch()
time.sleep(1000)
"""


def test_the_order_of_a_supervisor_that_was_killed_does_not_stop_the_next_start(supervised: Supervised) -> None:
    # As by Slurm: TERM, and KILL before the run has saved.
    supervised.start(OBEDIENT)
    supervised.wait_for(supervised.run_dir / "alive")
    assert supervised.process is not None
    supervised.process.send_signal(signal.SIGTERM)
    supervised.wait_for(supervised.run_dir / "KILL")
    time.sleep(0.5)
    supervised.process.kill()
    supervised.end()
    assert (supervised.run_dir / "KILL").exists()
    code, output = supervised.run(OBEDIENT)
    assert code == 0, output


def test_the_order_of_a_person_waits_for_the_next_start(supervised: Supervised) -> None:
    (supervised.run_dir / "logs").mkdir(parents=True)
    (supervised.run_dir / "logs" / "start_0001.log").touch()
    (supervised.run_dir / "KILL").touch()
    code, output = supervised.run(OBEDIENT)
    assert code == 85, output


def test_a_run_that_is_complete_is_not_started(supervised: Supervised) -> None:
    supervised.run_dir.mkdir()
    (supervised.run_dir / "DONE").write_text(json.dumps({"step": NUM_STEPS}))
    code, output = supervised.run("sys.exit(1)")
    assert code == 0
    assert "the run is complete" in output
    assert not (supervised.run_dir / "logs").exists()


SICK = """
if start == 1:
    begun()
    for rank in range(3):  # all end alike, and the first of them is no more to blame than the others
        beat(rank, 4, "ended", code=16, reason="drift", host=f"n{rank + 1}")
    with (run_dir / "bad_hosts.txt").open("a") as file:
        file.write("n2\\n")
    sys.exit(1)
print("hosts:", Path(sys.argv[sys.argv.index("--hostfile") + 1]).read_text().split() if "--hostfile" in sys.argv else 0)
ended("done", 0, 20)
"""


def test_with_a_hostfile_a_sick_host_is_left_out(supervised: Supervised) -> None:
    hostfile = supervised.folder / "hosts"
    hostfile.write_text("n1 slots=2\nn2 slots=2  # rack 4\nn3 slots=2\n")
    wrapper = supervised.folder / "wrapper.py"
    wrapper.write_text(
        "import subprocess, sys\nsys.exit(subprocess.run([sys.executable, *sys.argv[3:], *sys.argv[1:3]]).returncode)\n"
    )
    code, output = supervised.run(SICK, launcher=(str(wrapper), "--hostfile", str(hostfile)))
    assert code == 0, output
    assert "hosts: ['n1', 'slots=2', 'n3', 'slots=2']" in output
    assert hostfile.read_text().count("n2") == 1
    assert (supervised.run_dir / "bad_hosts.txt").read_text() == "n2\n"


def test_without_a_hostfile_a_sick_host_stops_the_run_with_words(supervised: Supervised) -> None:
    code, output = supervised.run(SICK)
    assert code == 16
    assert "there is no hostfile; start the run without it" in output


def test_where_nobody_knows_which_host_is_sick_none_is_left_out(supervised: Supervised) -> None:
    supervised.run_dir.mkdir()
    (supervised.run_dir / "bad_hosts.txt").write_text("n7\n")  # of an earlier start
    hostfile = supervised.folder / "hosts"
    hostfile.write_text("n1 slots=2\nn2 slots=2\nn3 slots=2\n")
    doubtful = SICK.replace("bad_hosts.txt", "other.txt").replace("drift", "which is wrong cannot be told")
    wrapper = supervised.folder / "wrapper.py"
    wrapper.write_text("import runpy, sys\ndel sys.argv[:3]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n")
    code, output = supervised.run(doubtful, launcher=(str(wrapper), "--hostfile", str(hostfile)))
    assert code == 16, output
    assert "at step 4: which is wrong cannot be told" in output
    assert "which host is to be left out is not known" in output
    assert len(supervised.events("attempt")) == 1
    assert (supervised.run_dir / "bad_hosts.txt").read_text() == "n7\n"


def test_a_wrong_configuration_starts_nothing(supervised: Supervised) -> None:
    code, output = supervised.run("", "train.num_stepz=3")
    assert code == 2
    assert "did you mean train.num_steps?" in output
    assert not supervised.run_dir.exists()


def test_a_dry_run_is_not_supervised(supervised: Supervised) -> None:
    assert supervised.run("", "dry_run=true")[0] == 2


def test_two_supervisors_do_not_look_after_one_run(supervised: Supervised) -> None:
    supervised.start(LONG)
    supervised.wait_for(supervised.run_dir / "alive")
    first, supervised.process = supervised.process, None
    assert first is not None
    try:
        code, output = supervised.run(LONG)
        assert code == 3
        assert "another run is working in this folder" in output
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=20)


def test_a_command_without_training_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "launch/supervise.py", "sleep", "5"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "no word of the command ends in train.py" in result.stderr
