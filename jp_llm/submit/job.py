"""What a run asks of Slurm: from a checked configuration to the options of sbatch."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jp_llm.config.run import RunConfig
from jp_llm.config.slurm import SlurmConfig, is_one_line
from jp_llm.runtime.bad_hosts import bad_hosts
from jp_llm.runtime.errors import config_error
from jp_llm.runtime.run_folder import RunFolder

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_MARK_DIGITS = 6
_CODE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """One job, everything decided."""

    config: RunConfig
    folder: RunFolder
    """With an absolute path."""
    working_directory: Path
    nodes: int
    tasks_per_node: int

    @property
    def world_size(self) -> int:
        """Processes."""
        return self.nodes * self.tasks_per_node

    @property
    def slurm(self) -> SlurmConfig:
        """The section."""
        return self.config.slurm

    @property
    def script(self) -> Path:
        """Where it is written."""
        return self.folder.path / "job.sbatch"

    @property
    def name(self) -> str:
        """Of the job, with a mark of the run folder: jobs of one name run one at a time, those of others beside it."""
        base = self.slurm.job_name or re.sub(r"[^A-Za-z0-9._-]", "_", self.folder.path.name).lstrip("._-") or "run"
        mark = hashlib.sha256(os.fsencode(self.folder.path)).hexdigest()[:_MARK_DIGITS]
        return f"{base}-{mark}"

    @property
    def with_gpus(self) -> bool:
        """Whether the processes compute on GPUs."""
        return self.config.train.device != "cpu"


def job_of(config: RunConfig) -> Job:
    """Decide what the configuration leaves open.

    Raises:
        UserError: the size is unknown, or the run cannot be divided over so many processes (exit code 2).
    """
    slurm, cluster = config.slurm, config.cluster
    nodes = slurm.nodes or (cluster.nodes if cluster else None)
    tasks = slurm.tasks_per_node or (cluster.devices_per_node if cluster else None)
    problems = []
    if nodes is None:
        problems.append("slurm.nodes: say how many nodes the job takes, or name the hardware with cluster=<name>")
    if tasks is None:
        problems.append("slurm.tasks_per_node: say how many processes a node runs, one per GPU, or name the cluster")
    directory = Path(slurm.working_directory or os.getcwd()).absolute()
    folder = directory / config.run_dir
    for key, path in (("run_dir", folder), ("slurm.working_directory", directory), ("data.path", config.data.path)):
        if not is_one_line(str(path)) or "\\" in str(path):
            problems.append(f"{key}: {str(path)!r} has a backslash, line break or control character; rename it")
    if nodes is None or tasks is None or problems:
        raise config_error(problems)
    job = Job(config, RunFolder(folder), directory, nodes, tasks)
    problems += _size_problems(job)
    if problems:
        raise config_error(problems)
    return job


def _size_problems(job: Job) -> Iterator[str]:
    config, size = job.config, job.world_size
    told = config.parallel.world_size
    if told is not None and told != size:
        yield (
            f"parallel.world_size: {told} is not {job.nodes} nodes x {job.tasks_per_node} processes = {size}; "
            "leave it out, the job decides it"
        )
    yield from config.layout_problems(size)
    if config.slurm.container is not None:
        mounted = {"run_dir": job.folder.path, "slurm.working_directory": job.working_directory, "the code": _CODE}
        for key, path in mounted.items():
            if "," in str(path) or ":" in str(path):
                yield f"{key}: {path} has a comma or colon, which lists of mounts cannot hold; rename it"


def nodes_left_out(folder: RunFolder) -> list[str]:
    """The hosts in bad_hosts.txt by Slurm's short names; what is no name is passed over."""
    names = [host.partition(".")[0] for host in bad_hosts(folder)]
    return list(dict.fromkeys(name for name in names if _NODE.fullmatch(name)))


def options(job: Job) -> list[str]:
    """The options of sbatch, as they stand behind #SBATCH; each is one line."""
    slurm = job.slurm
    found = [f"--job-name={job.name}"]
    for name in ("partition", "account", "qos", "time", "constraint"):
        value = getattr(slurm, name)
        if value is not None:
            found.append(f"--{name}={value}")
    if slurm.comment is not None:
        found.append(f"--comment={quoted(slurm.comment)}")
    found += [f"--nodes={job.nodes}", f"--ntasks-per-node={job.tasks_per_node}", *_gpus(job)]
    if slurm.cpus_per_task is not None:
        found.append(f"--cpus-per-task={slurm.cpus_per_task}")
    if slurm.mem is not None:
        found.append(f"--mem={slurm.mem}")
    if slurm.exclusive:
        found.append("--exclusive")
    excluded = [*([slurm.exclude] if slurm.exclude else []), *nodes_left_out(job.folder)]
    if excluded:
        found.append(f"--exclude={','.join(excluded)}")
    if slurm.array is not None:
        found.append(f"--array=1-{slurm.array}%1")
    else:
        # Of all jobs of this name and user one runs: a chain, and a guard against two jobs in one run folder.
        found.append("--dependency=singleton")
    # Without `B:` the signal goes to every training process, not to this script.
    found.append(f"--signal=USR2@{slurm.signal_seconds}")
    found.append("--requeue" if slurm.requeue else "--no-requeue")
    file = "slurm_%A_%a.log" if slurm.array is not None else "slurm_%j.log"
    logs = str(job.folder.logs).replace("%", "%%")
    found += ["--open-mode=append", f"--output={quoted(f'{logs}/{file}')}"]
    return [*found, *slurm.extra]


def _gpus(job: Job) -> list[str]:
    slurm = job.slurm
    how = slurm.gpus_by or ("gres" if job.with_gpus else "none")
    kind = f"{slurm.gpu_type}:" if slurm.gpu_type else ""
    if how == "gres":
        return [f"--gres=gpu:{kind}{job.tasks_per_node}"]
    return [f"--gpus-per-node={kind}{job.tasks_per_node}"] if how == "gpus_per_node" else []


def quoted(text: str) -> str:
    """A value for a line #SBATCH, by the rules of sbatch: # begins a comment even in quotes, a backslash undoes it."""
    return '"' + re.sub(r'([\\"\'#])', r"\\\1", text) + '"'
