"""The Slurm job that the supervisor runs in."""

import re
import subprocess
import time
from collections.abc import Mapping, Sequence

PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 15.0
_SECONDS = 60
_AWAY = re.compile(r"unable to contact|timed out|connection refused|connect(ion)? failure|zero bytes", re.IGNORECASE)
_LEFT = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)")  # %L of squeue: 2-03:04:05, 3:04:05 or 4:05


def job_of(environment: Mapping[str, str]) -> str | None:
    """Number of the job, with its place in an array; None outside of Slurm."""
    if array := environment.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID")


def obstacle(job: str) -> str | None:
    """Why a job is not to be sent back to the queue, if so."""
    known = _ask("scontrol", "show", "job", job)
    if "JobState=CANCELLED" in known.stdout:
        return f"job {job} was cancelled"
    if "JobState=COMPLETING" in known.stdout and "Reason=TimeLimit" not in known.stdout:
        # So looks what scancel has ended, until its last process is gone; where a job comes back, Slurm sees to it.
        return f"Slurm itself has ended job {job}, so it is left to Slurm whether it comes back"
    return None


def requeue(job: str) -> str | None:
    """Send the job back to the queue, from inside it; what went wrong, if so."""
    asked = _ask("scontrol", "requeue", job)
    if asked.returncode:
        return f"scontrol requeue {job}: {asked.stderr.strip() or asked.stdout.strip()}"
    return None


def leave_out(job: str, hosts: Sequence[str]) -> str | None:
    """Keep a job that was just queued again from these hosts; what went wrong, if so."""
    # Slurm lets this be changed only while a job waits, and from now on it does.
    asked = _ask("scontrol", "update", f"JobId={job}", f"ExcNodeList={','.join(hosts)}")
    if asked.returncode:
        return f"job {job} is queued again, but on any host: {asked.stderr.strip() or asked.stdout.strip()}"
    return None


def seconds_left(job: str) -> int | None:
    """Until the time limit of the job; None if it has none, or Slurm does not say."""
    match = _LEFT.fullmatch(_ask("squeue", "--noheader", f"--jobs={job}", "--format=%L").stdout.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def steps(job: str, name: str) -> list[str] | None:
    """The steps of a job that `srun` started under this name; None if Slurm does not say."""
    asked = _ask("squeue", "--steps", f"--jobs={job}", "--noheader", "--format=%i %j")
    if asked.returncode:
        return None
    pairs = (line.split(maxsplit=1) for line in asked.stdout.splitlines())
    return [pair[0] for pair in pairs if len(pair) == 2 and pair[1].strip() == name]


def end_steps(ended: Sequence[str]) -> None:
    """Kill steps: their `srun` may be gone, which Slurm notices late, and their nodes would stay busy until then."""
    if ended:
        _ask("scancel", "--signal=KILL", *ended)


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm, again and again while the controller is away: it may be restarted at night."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            asked = subprocess.run(list(command), capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            asked = subprocess.CompletedProcess(list(command), 1, "", f"{error}")
        except OSError as error:
            return subprocess.CompletedProcess(list(command), 1, "", str(error))
        if not asked.returncode or not _AWAY.search(asked.stderr) or time.monotonic() + PAUSE_SECONDS > deadline:
            return asked
        time.sleep(PAUSE_SECONDS)
