"""The text of a job script. Everything that a user names is quoted for the shell, or matches a strict pattern."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jp_llm.submit.job import Job, options

DOORS = Path(__file__).resolve().parents[2] / "launch"
NCCL = {
    # A process whose collective fails ends instead of waiting for ever, and leaves what the last ones were.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    "TORCH_NCCL_TRACE_BUFFER_SIZE": "2000",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
}
SLURM_KEEPS = "CONF|CLUSTERS|JWT"
"""Endings of the variables SLURM_... that say where Slurm is; the others say what a job is."""
_KILL_OTHERS_AFTER_SECONDS = 60

_MODULES = """\
if ! type module > /dev/null 2>&1; then
    for file in /etc/profile.d/modules.sh /etc/profile.d/lmod.sh; do
        if [ -r "$file" ]; then source "$file"; fi
    done
fi"""

_ELSEWHERE = """\
# A node that turned out bad after the job was submitted: this job makes room for one without such nodes.
listed=$(sed 's/[.#[:space:]].*//' {bad_hosts} 2> /dev/null || true)
bad_hosts=$(sinfo --noheader --Node --format=%N | grep -xF "$listed" | sort -u || true)
if [ -n "$bad_hosts" ] && scontrol show hostnames "$SLURM_JOB_NODELIST" | grep -qxF "$bad_hosts"; then
    echo "job $SLURM_JOB_ID: the run is submitted again, without" $bad_hosts
    for name in $(compgen -e | grep ^SLURM_ | grep -vxE 'SLURM_({keeps})'); do unset "$name"; done
    exec sbatch --exclude={excluded}"$(paste -sd, <<< "$bad_hosts")" {script}
fi"""


def render(job: Job, words: Sequence[str]) -> str:
    """The script for sbatch.

    Args:
        words: overrides of the training, as launch/train.py takes them.
    """
    lines = [
        "#!/bin/bash",
        "# Written by launch/submit.py.",
        *(f"#SBATCH {option}" for option in options(job)),
        "",
        "set -e",
        f"cd -- {shlex.quote(str(job.working_directory))}",
    ]
    if job.slurm.array is None:
        excluded = f"{job.slurm.exclude}," if job.slurm.exclude else ""
        bad_hosts, script = shlex.quote(str(job.folder.bad_hosts)), shlex.quote(str(job.script))
        lines += ["", _ELSEWHERE.format(bad_hosts=bad_hosts, excluded=excluded, script=script, keeps=SLURM_KEEPS)]
    lines += ["", *_environment(job), "", f"exec {_command(job, words)}"]
    return "\n".join(lines) + "\n"


def _environment(job: Job) -> list[str]:
    slurm = job.slurm
    lines = []
    if slurm.modules:
        lines += [_MODULES, f"module load {shlex.join(slurm.modules)}"]
    if folder := venv_of(job):
        lines.append(f"source {shlex.quote(f'{folder}/bin/activate')}")
    variables = {str(name): str(value) for name, value in slurm.environment.items()}
    if slurm.cpus_per_task is not None:
        variables = {"SRUN_CPUS_PER_TASK": str(slurm.cpus_per_task)} | variables
    lines += [f"export {name}={shlex.quote(value)}" for name, value in (NCCL | variables).items()]
    return lines


def venv_of(job: Job) -> str | None:
    """The virtual environment of the job; None takes an absolute path to Python."""
    if job.slurm.venv is not None:
        return str(job.working_directory / job.slurm.venv)
    return sys.prefix if sys.prefix != sys.base_prefix and os.path.exists(f"{sys.prefix}/bin/activate") else None


def _command(job: Job, words: Sequence[str]) -> str:
    python = "python" if venv_of(job) else sys.executable
    slurm = job.slurm
    srun = ["srun", "--kill-on-bad-exit=1", f"--wait={_KILL_OTHERS_AFTER_SECONDS}", "--export=ALL"]
    if slurm.cpus_per_task is not None:
        srun.append(f"--cpus-per-task={slurm.cpus_per_task}")
    train = [python, str(DOORS / "train.py")]
    # An image may bring a jp_llm of its own.
    train_inside = ["env", f"PYTHONPATH={DOORS.parent}", "python", train[1]]
    if slurm.container == "pyxis":
        mounts = ",".join(mount if ":" in mount else f"{mount}:{mount}" for mount in _mounts(job))
        srun += [
            f"--container-image={slurm.container_image}",
            f"--container-mounts={mounts}",
            f"--container-workdir={job.working_directory}",
        ]
        train = train_inside
    elif slurm.container == "apptainer":
        nv = ["--nv"] if job.with_gpus else []
        binds = [word for mount in _mounts(job) for word in ("--bind", mount)]
        inside = ["apptainer", "exec", *nv, *binds, "--pwd", str(job.working_directory), str(slurm.container_image)]
        train = [*inside, *train_inside]
    parts = [[python, str(DOORS / "supervise.py")], srun, train, *([word] for word in words)]
    return " \\\n    ".join(shlex.join(part) for part in parts if part)


def _mounts(job: Job) -> list[str]:
    """What the training processes read and write, then what the user names; nothing twice."""
    data = job.config.data.path
    own = [DOORS.parent, job.working_directory, job.folder.path, *([job.working_directory / data] if data else [])]
    return list(dict.fromkeys([*(str(path) for path in own), *job.slurm.container_mounts]))
