"""Check, write and submit the job of a run."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jp_llm.config.run import RunConfig
from jp_llm.config.slurm import OPTION_KEYS, is_one_line
from jp_llm.plan.shortage import shortage
from jp_llm.runtime.errors import ExitCode, UserError, config_error
from jp_llm.runtime.files import atomic_writer
from jp_llm.submit.job import Job, job_of
from jp_llm.submit.script import render, venv_of
from jp_llm.supervise.evidence import done_step

_LOCAL_DISKS = {"btrfs", "ext2", "ext3", "ext4", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
_SUBMIT_SECONDS = 60.0
_VARIABLE_OF = {"time": "TIMELIMIT", "mem": "MEM_PER_NODE", "array": "ARRAY_INX", "no-requeue": "NO_REQUEUE"}


def run(config: RunConfig, words: Sequence[str]) -> ExitCode:
    """Submit the run, or with dry_run show what would be submitted.

    Args:
        words: the command line, which the job hands to launch/train.py.

    Raises:
        UserError: the job cannot run as it is configured, or Slurm refuses it.
    """
    if unprintable := [word for word in words if not is_one_line(word)]:
        raise config_error(f"{word!r}: no line breaks and control characters in a job" for word in unprintable)
    job = job_of(config)
    script = render(job, [word for word in words if word.partition("=")[0] != "dry_run"])
    for warning in warnings(job):
        print(f"warning: {warning}", file=sys.stderr)
    if config.dry_run:
        print(script, end="")
        print(f"checked: {job.nodes} nodes x {job.tasks_per_node} processes = {job.world_size}; nothing was submitted")
        return ExitCode.DONE
    # sbatch does not create the folder of its output.
    job.folder.logs.mkdir(parents=True, exist_ok=True)
    with atomic_writer(job.script) as file:
        file.write(script.encode())
    for _ in range(config.slurm.chain):
        print(f"job {submit(job.script)}: {job.name}, {job.nodes} nodes x {job.tasks_per_node} processes")
    print(f"output: {job.folder.logs}")
    return ExitCode.DONE


def submit(script: Path) -> str:
    """The number of the new job.

    Raises:
        UserError: there is no Slurm here, or it refuses the job.
    """
    # These would win over what stands in the script.
    options = (*OPTION_KEYS, "open-mode")
    names = {f"SBATCH_{_VARIABLE_OF.get(option, option.upper().replace('-', '_'))}" for option in options}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = ["sbatch", "--parsable", str(script)]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_SUBMIT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise UserError("sbatch: not found; submit from a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"sbatch: no answer within {_SUBMIT_SECONDS:.0f} s; look with squeue, then try again") from None
    if result.returncode:
        message = result.stderr.strip() or result.stdout.strip()
        hint = "; look at slurm.exclude and bad_hosts.txt beside the script" if "node name" in message else ""
        raise UserError(f"sbatch refuses {script}: {message}{hint}")
    number = result.stdout.strip().partition(";")[0]
    if not re.fullmatch(r"\d+", number):
        raise UserError(f"sbatch answers {result.stdout.strip()!r} instead of a job number; look with squeue")
    return number


def warnings(job: Job) -> Iterator[str]:
    """What need not be wrong: this machine is not a compute node."""
    disk = file_system_of(job.folder.path)
    if job.nodes > 1 and disk in _LOCAL_DISKS:
        yield f"run_dir {job.folder.path} lies on a local disk ({disk}); all nodes must see the same folder there"
    data = job.config.data.path
    if data and not (job.working_directory / data / "dataset.json").exists():
        yield f"data.path {data}: no dataset.json there as seen from here"
    folder = venv_of(job)
    if folder and not Path(folder, "bin", "activate").exists():
        yield f"slurm.venv {folder}: no bin/activate there as seen from here"
    if missing := shortage(job.config, job.world_size):
        yield missing
    if job.slurm.time is None:
        yield "slurm.time is not given: the site decides when the job is ended, and some give it minutes"
    if done_step(job.folder) >= job.config.train.num_steps:
        yield f"{job.folder.done} says that this run is complete; the job will end at once"


def file_system_of(path: Path) -> str | None:
    """The type of the file system that holds `path` or its nearest folder that exists, where the system tells."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists()).resolve()
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return None
    best: tuple[int, str | None] = (0, None)
    for fields in map(str.split, mounts):
        point = fields[1].replace("\\040", " ")
        if existing.is_relative_to(point) and len(point) >= best[0]:
            best = (len(point), fields[2])
    return best[1]
