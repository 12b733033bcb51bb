"""The supervisor around a launcher that only pretends to train: no torch, so a start costs milliseconds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jp_llm.runtime.files import read_json_lines

ROOT = Path(__file__).resolve().parents[3]
NUM_STEPS = 20
HEAD = """
import json, os, signal, socket, subprocess, sys, time
from pathlib import Path
run_dir = Path([word.partition("=")[2] for word in sys.argv if word.startswith("run_dir=")][0])
start = len(list((run_dir / "logs").glob("start_*.log")))

def write(path, **values):
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(values))
    temporary.replace(path)

def ended(state, code, step=0, reason=""):
    write(run_dir / "status.json", state=state, code=code, step=step, reason=reason, host=socket.gethostname(),
          pid=os.getpid(), time=time.time())
    if state == "done":
        write(run_dir / "DONE", step=step)
    sys.exit(code)

def begun(step=0):
    with (run_dir / "events.jsonl").open("a") as file:
        event = {"event": "start", "step": step, "consumed_samples": 8 * step, "global_batch_size": 8}
        file.write(json.dumps(event) + "\\n")

def beat(rank, step, state="running", **more):
    values = dict(rank=rank, step=step, host=socket.gethostname(), pid=os.getpid(), phase="step", time=time.time())
    write(run_dir / "heartbeats" / f"rank_{rank:05d}.json", state=state, **(values | more))

def wait_for(path):
    while not path.exists():
        time.sleep(0.02)
"""


class Supervised:
    """A supervisor with a script of the test as its launcher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"):
            self.environment.pop(name, None)
        self.process: subprocess.Popen[str] | None = None

    def start(self, body: str, *words: str, launcher: tuple[str, ...] = ()) -> None:
        script = self.folder / "train.py"
        script.write_text(HEAD + body)
        settings = ["supervise.backoff_seconds=0.01", f"train.num_steps={NUM_STEPS}", "optim.warmup_steps=1"]
        settings += ["data.path=unused", f"run_dir={self.run_dir}", *words]
        command = [sys.executable, "launch/supervise.py", "--", sys.executable, *launcher, str(script), *settings]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self, seconds: float = 60.0) -> tuple[int, str]:
        assert self.process is not None
        output, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, output + errors

    def run(self, body: str, *words: str, launcher: tuple[str, ...] = ()) -> tuple[int, str]:
        self.start(body, *words, launcher=launcher)
        return self.end()

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_json_lines(self.run_dir / "events.jsonl") if event["event"] == kind]

    def processes(self) -> list[int]:
        """Every process that has the run folder among its words, but the supervisor."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if str(self.run_dir).encode() in words and b"supervise.py" not in words:
                found.append(int(path.parent.name))
        return found

    def wait_for(self, path: Path) -> None:
        deadline = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < deadline, f"{path} does not come"
            time.sleep(0.02)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    run = Supervised(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()
        run.process.communicate()


def test_crash_false_zero_and_the_end(supervised: Supervised) -> None:
    body = """
print("start", start, flush=True)
print("to stderr", file=sys.stderr)
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


def fake_scontrol(supervised: Supervised, body: str, name: str = "scontrol") -> Path:
    """A `scontrol` (or another command) that notes its words and does `body`."""
    folder = supervised.folder / "bin"
    folder.mkdir(exist_ok=True)
    calls = folder / f"{name}.jsonl"
    script = folder / name
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"open({str(calls)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n{body}\n"
    )
    script.chmod(0o755)
    supervised.environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    return calls


PREEMPTED = 'begun(); ended("saved", 85, 5, "signal to process 1")'


def test_in_slurm_a_preempted_job_goes_back_to_the_queue(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "print('JobState=RUNNING')")
    code, output = supervised.run(PREEMPTED)
    assert code == 85, output
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [["show", "job", "77"], ["requeue", "77"]]
    assert supervised.events("requeue")[0]["job"] == "77"


def test_in_slurm_a_job_of_an_array(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "")
    supervised.environment |= {"SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "4"}
    supervised.run(PREEMPTED)
    assert json.loads(calls.read_text().splitlines()[-1]) == ["requeue", "70_4"]


def test_in_slurm_a_cancelled_job_stays_cancelled(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "print('JobState=CANCELLED Reason=None')")
    code, output = supervised.run(PREEMPTED)
    assert code == 85
    assert "job 77 was cancelled" in output
    assert len(calls.read_text().splitlines()) == 1


def test_in_slurm_a_refused_requeue_is_said(supervised: Supervised) -> None:
    fake_scontrol(supervised, "sys.exit('requeue is disabled' if sys.argv[1] == 'requeue' else 0)")
    code, output = supervised.run(PREEMPTED)
    assert code == 85
    assert "scontrol requeue 77: requeue is disabled" in output


def test_in_slurm_a_sick_host_is_left_out(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "")
    assert supervised.run(SICK)[0] == 16
    assert json.loads(calls.read_text().splitlines()[-1]) == ["update", "JobId=77", "ExcNodeList=n2"]
    assert (supervised.run_dir / "bad_hosts.txt").read_text() == "n2\n"


def test_in_slurm_the_steps_of_a_launcher_that_is_gone_are_ended(supervised: Supervised) -> None:
    before = supervised.folder / "seen"
    body = f"""
print("77.batch")
print("77.4")
if os.path.exists({str(before)!r}):
    print("77.11")
open({str(before)!r}, "w")
"""
    fake_scontrol(supervised, body, "squeue")
    calls = fake_scontrol(supervised, "", "scancel")
    assert supervised.run('ended("done", 0, 20)')[0] == 0
    # The step of another, that was there before, is left alone.
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [["--signal=KILL", "77.11"]]


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
    assert "start the run without it" in output


@pytest.mark.parametrize("in_slurm", [False, True])
def test_where_nobody_knows_which_host_is_sick_none_is_left_out(supervised: Supervised, in_slurm: bool) -> None:
    calls = fake_scontrol(supervised, "") if in_slurm else None
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
    assert calls is None or not calls.exists()


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
