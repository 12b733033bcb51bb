"""Inside a Slurm job, whose commands are stand-ins that note their words."""

import json
import os
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
    body = 'begun(); beat(1, 4, "ended", code=16, reason="drift", host="n2"); sys.exit(1)'
    code, _ = supervised.run(body)
    assert code == 16
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
