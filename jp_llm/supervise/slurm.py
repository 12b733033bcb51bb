"""The Slurm job that the supervisor runs in."""

import subprocess
from collections.abc import Mapping, Sequence

_SECONDS = 60


def job_of(environment: Mapping[str, str]) -> str | None:
    """Number of the job, with its place in an array; None outside of Slurm."""
    if array := environment.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID")


def requeue(job: str, without: Sequence[str] = ()) -> str | None:
    """Send the job back to the queue, from inside it, to run on other hosts than `without`; what went wrong, if so."""
    known = _ask("scontrol", "show", "job", job)
    if "JobState=CANCELLED" in known.stdout:
        return f"job {job} was cancelled"
    if "JobState=COMPLETING" in known.stdout and "Reason=TimeLimit" not in known.stdout:
        # So looks what scancel has ended, until its last process is gone; where a job comes back, Slurm sees to it.
        return f"Slurm itself has ended job {job}, so it is left to Slurm whether it comes back"
    asked = _ask("scontrol", "requeue", job)
    if asked.returncode:
        return f"scontrol requeue {job}: {asked.stderr.strip() or asked.stdout.strip()}"
    if without:
        # Slurm lets this be changed only while a job waits, and from now on it does.
        asked = _ask("scontrol", "update", f"JobId={job}", f"ExcNodeList={','.join(without)}")
        if asked.returncode:
            return f"job {job} is queued again, but on any host: {asked.stderr.strip() or asked.stdout.strip()}"
    return None


def steps(job: str) -> set[str]:
    """The steps of a job that `srun` started."""
    listed = _ask("squeue", "--steps", f"--jobs={job}", "--noheader", "--format=%i").stdout.split()
    return {step for step in listed if step.rpartition(".")[2].isdigit()}


def end_steps(ended: Sequence[str]) -> None:
    """Kill steps: their `srun` may be gone, which Slurm notices late, and their nodes would stay busy until then."""
    if ended:
        _ask("scancel", "--signal=KILL", *ended)


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(list(command), capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(command), 1, "", str(error))
