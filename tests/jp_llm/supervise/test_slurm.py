"""Inside a Slurm job, whose commands are stand-ins that note their words."""

import json
import os
import signal
import sys
from pathlib import Path

from supervised import Supervised


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
    body = 'begun(); beat(1, 4, "ended", code=16, reason="drift", host="n2"); '
    body += '(run_dir / "bad_hosts.txt").write_text("n2\\n"); sys.exit(1)'
    code, _ = supervised.run(body)
    assert code == 16
    assert json.loads(calls.read_text().splitlines()[-1]) == ["update", "JobId=77", "ExcNodeList=n2"]
    assert (supervised.run_dir / "bad_hosts.txt").read_text() == "n2\n"


def test_in_slurm_a_host_that_nobody_knows_stops_the_run(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "")
    code, output = supervised.run('begun(); beat(1, 4, "ended", code=16, reason="drift", host="n2"); sys.exit(1)')
    assert code == 16
    assert "which host is to be left out is not known" in output
    assert "requeue" not in (calls.read_text() if calls.exists() else "")


def test_in_slurm_the_step_of_a_launcher_that_is_gone_is_ended_and_no_other(supervised: Supervised) -> None:
    named = supervised.folder / "named"
    listed = f"""
print("77.batch batch")
print("77.4 bash")
print("77.11", open({str(named)!r}).read())
"""
    fake_scontrol(supervised, listed, "squeue")
    calls = fake_scontrol(supervised, "", "scancel")
    start = f"""
name = sys.argv[1].removeprefix("--job-name=")
open({str(named)!r}, "w").write(name)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
    fake_scontrol(supervised, start, "srun")
    assert supervised.run('ended("done", 0, 20)', front=("srun",))[0] == 0
    assert named.read_text().startswith("jp_llm_0001-")
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [["--signal=KILL", "77.11"]]


def test_in_slurm_no_restart_when_the_signal_before_the_time_limit_has_gone_by(supervised: Supervised) -> None:
    """It was sent once, and the processes did not listen yet: it ended them."""
    calls = fake_scontrol(supervised, "")
    fake_scontrol(supervised, "print('9:59')", "squeue")
    code, output = supervised.run("begun(); sys.exit(138)", "slurm.signal_seconds=600")
    assert code == 85, output
    assert len(supervised.events("attempt")) == 1
    assert json.loads(calls.read_text().splitlines()[-1]) == ["requeue", "77"]
    assert "the job has 599 s left, too few for a restart, and goes back to the queue" in output


def test_in_slurm_a_job_that_gets_no_further_stops(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "")
    words = ("supervise.fruitless_requeues=2",)
    for _ in range(2):
        assert "goes back to the queue\n" in supervised.run(PREEMPTED, *words)[1]
    code, output = supervised.run(PREEMPTED, *words)
    assert code == 85
    assert "2 times in a row it came back and got no further than step 5" in output
    assert len(supervised.events("requeue")) == 2
    assert sum("requeue" in json.loads(line) for line in calls.read_text().splitlines()) == 2


def test_in_slurm_a_job_that_may_not_be_queued_again_stops(supervised: Supervised) -> None:
    calls = fake_scontrol(supervised, "")
    code, output = supervised.run(PREEMPTED, "slurm.requeue=false")
    assert code == 85
    assert "slurm.requeue is false: the next job of a chain or an array goes on" in output
    assert not calls.exists()
    assert not supervised.events("requeue")


def test_in_slurm_a_run_that_could_neither_save_nor_go_back_has_failed(supervised: Supervised) -> None:
    fake_scontrol(supervised, "sys.exit('requeue is disabled' if sys.argv[1] == 'requeue' else 0)")
    body = 'begun(); (run_dir / "alive").touch(); wait_for(run_dir / "KILL"); sys.exit(9)'
    supervised.start(body)
    supervised.wait_for(supervised.run_dir / "alive")
    assert supervised.process is not None
    supervised.process.send_signal(signal.SIGUSR2)
    assert supervised.end()[0] == 1
    assert supervised.events("requeue_refused")[0]["reason"].endswith("requeue is disabled")
