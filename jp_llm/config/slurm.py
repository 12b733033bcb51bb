"""`slurm`: the job that launch/submit.py writes."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveInt

from jp_llm.config.section import Section

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(,[A-Za-z0-9][A-Za-z0-9._-]*)*")
_NODES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,\[\]-]*")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<fields>\d+(?::\d+){0,2})")
_MEMORY = re.compile(r"\d+[KMGT]?")
_CONSTRAINT = re.compile(r"[A-Za-z0-9_.,&|*()\[\]:=-]+")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"(?:.*_)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)", re.IGNORECASE)
_MOUNT = re.compile(r"/[^:,]*(:/[^:,]*(:r[ow])?)?")
_EXTRA = re.compile(r"--(?P<option>[a-z][a-z0-9-]*)(?:=[^\s\"'\\#]+)?")

_SET_BY_SRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
OPTION_KEYS = {
    "job-name": "slurm.job_name",
    "partition": "slurm.partition",
    "account": "slurm.account",
    "qos": "slurm.qos",
    "time": "slurm.time",
    "comment": "slurm.comment",
    "constraint": "slurm.constraint",
    "exclude": "slurm.exclude",
    "exclusive": "slurm.exclusive",
    "nodes": "slurm.nodes",
    "ntasks": "slurm.tasks_per_node",
    "ntasks-per-node": "slurm.tasks_per_node",
    "gres": "slurm.gpus_by",
    "gpus-per-node": "slurm.gpus_by",
    "gpus-per-task": "slurm.gpus_by",
    "gpus": "slurm.gpus_by",
    "cpus-per-task": "slurm.cpus_per_task",
    "mem": "slurm.mem",
    "signal": "slurm.signal_seconds",
    "requeue": "slurm.requeue",
    "no-requeue": "slurm.requeue",
    "array": "slurm.array",
    "dependency": "slurm.chain",
    "chdir": "slurm.working_directory",
    "output": "run_dir",
    "error": "run_dir",
}
"""Options of sbatch that have a key of their own."""
_REFUSED_OPTIONS = ("wrap", "parsable", "test-only", "wait", "open-mode", "input", "help", "version", "usage", "quiet")
MAX_SIGNAL_SECONDS = 65535


def is_one_line(text: str) -> bool:
    """Whether `text` has no line break and no other control character, so that it can stand in a job script."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


class SlurmConfig(Section):
    """Options of sbatch, and what the job does before it starts the run. Nothing here changes what is computed."""

    job_name: str | None = None
    """null takes the last part of run_dir. A mark of the run folder follows it: jobs of one name run one at a time."""
    partition: str | None = None
    """Or several, separated by commas. null leaves it to the site, as with all keys that may be null."""
    account: str | None = None
    """Whom the hours are charged to."""
    qos: str | None = None
    """Quality of service."""
    time: str | int | None = None
    """Limit of one job as sbatch reads it: minutes, 24:00:00, 2-12 (days-hours). The run goes on in the next job."""
    comment: str | None = None
    """Shown by squeue and kept by accounting."""

    nodes: PositiveInt | None = None
    """null takes cluster.nodes."""
    tasks_per_node: PositiveInt | None = None
    """Processes of a node, one per GPU. null takes cluster.devices_per_node."""
    gpus_by: Literal["gres", "gpus_per_node", "none"] | None = None
    """How the GPUs are asked for: gres (--gres=gpu:8, which every site understands), gpus_per_node, or none where whole
    nodes come with them. null takes gres, and none with train.device=cpu."""
    gpu_type: str | None = None
    """As the site calls it, e.g. a100."""
    cpus_per_task: PositiveInt | None = None
    """Cores of each process; also handed to srun, which does not inherit it from sbatch."""
    mem: str | int | None = None
    """Memory per node, e.g. 480G; 0 takes all of it."""
    constraint: str | None = None
    """Features of nodes, e.g. 'a100&nvlink'."""
    exclude: str | None = None
    """Nodes to leave out, e.g. n[3-5]; those in run_dir/bad_hosts.txt are left out as well."""
    exclusive: bool = True
    """No other job on the nodes."""
    extra: tuple[str, ...] = ()
    """More options of sbatch, e.g. [--mail-type=END,--reservation=spring]."""

    signal_seconds: int = Field(default=600, ge=1, le=MAX_SIGNAL_SECONDS)
    """So long before the time limit every process is told to save and stop (USR2; Slurm may be a minute early): at
    least the longest step + twice a save + 120 s."""
    requeue: bool = True
    """The same job is queued again after preemption, time limit and failure of a node, until training is complete."""
    array: PositiveInt | None = None
    """Where a site forbids requeue: so many elements of which one runs at a time (--array=1-N%1); needs requeue=false.
    """
    chain: PositiveInt = 1
    """Jobs to submit, each of which begins when the one before has ended; those after completion end at once."""

    working_directory: str | None = None
    """From where relative paths count; null takes the folder in which launch/submit.py is started."""
    modules: tuple[str, ...] = ()
    """Environment modules to load, e.g. [cuda/12.8,nccl]."""
    venv: str | None = None
    """Folder of the virtual environment; null takes the Python that runs launch/submit.py."""
    environment: dict[str, str | int | float] = Field(default_factory=dict)
    """Variables, e.g. {NCCL_SOCKET_IFNAME: ib0}. Secrets do not belong here: export them before launch/submit.py."""
    container: Literal["apptainer", "pyxis"] | None = None
    """What starts the training processes in a container: `apptainer exec`, or enroot by srun --container-image."""
    container_image: str | None = None
    """File, or what the runtime accepts instead, e.g. docker://registry/image:tag."""
    container_mounts: tuple[str, ...] = ()
    """More folders for the container, e.g. [/data, /scratch/me:/scratch:ro]; the code, run_dir and data.path are there
    anyway."""

    def problems(self) -> list[str]:
        return [*self._patterns(), *self._combinations(), *self._extra_options(), *self._variables()]

    @property
    def time_seconds(self) -> int | None:
        """`time` in seconds; None where it is not given or cannot be read."""
        match = _TIME.fullmatch("" if self.time is None else str(self.time))
        if match is None:
            return None
        fields = [int(field) for field in match["fields"].split(":")]
        if match["days"] is not None:
            hours, minutes, seconds = fields + [0] * (3 - len(fields))
            return ((int(match["days"]) * 24 + hours) * 60 + minutes) * 60 + seconds
        if len(fields) == 1:
            return fields[0] * 60
        hours, minutes, seconds = [0] * (3 - len(fields)) + fields
        return (hours * 60 + minutes) * 60 + seconds

    def _patterns(self) -> Iterator[str]:
        patterns = {
            "job_name": (_NAME, "letters, digits, dots, dashes and underscores"),
            "partition": (_NAMES, "names of letters, digits, dots, dashes and underscores"),
            "account": (_NAME, "letters, digits, dots, dashes and underscores"),
            "qos": (_NAME, "letters, digits, dots, dashes and underscores"),
            "time": (_TIME, "minutes, minutes:seconds, hours:minutes:seconds or days-hours"),
            "gpu_type": (_NAME, "letters, digits, dots, dashes and underscores"),
            "mem": (_MEMORY, "a number with K, M, G or T"),
            "constraint": (_CONSTRAINT, "features joined by & | , * and brackets, without spaces"),
            "exclude": (_NODES, "nodes as in n1,n[3-5]"),
        }
        for key, (pattern, meaning) in patterns.items():
            value = getattr(self, key)
            if value is not None and not pattern.fullmatch(str(value)):
                yield f"{key}: {value!r} cannot stand in a job script; write {meaning}"
        for key in ("comment", "working_directory", "venv", "container_image"):
            value = getattr(self, key)
            if value is not None and (not value or not is_one_line(value)):
                yield f"{key}: {value!r} is empty or has a line break or control character; leave it out"
        for name in self.modules:
            if not _MODULE.fullmatch(name):
                yield f"modules: {name!r} is no module name; write e.g. cuda/12.8"
        for mount in self.container_mounts:
            if not _MOUNT.fullmatch(mount) or not is_one_line(mount):
                yield f"container_mounts: {mount!r}; write /folder, /folder:/inside or /folder:/inside:ro"

    def _combinations(self) -> Iterator[str]:
        if self.array is not None and self.requeue:
            yield "array: it stands in for requeue; also set slurm.requeue=false"
        if self.array is not None and self.chain > 1:
            yield "chain: an array is a chain already; leave out one of slurm.array and slurm.chain"
        if (self.container is None) != (self.container_image is None):
            yield "container: slurm.container and slurm.container_image go together; set both or none"
        image = self.container_image
        if image is not None and image.startswith("-"):
            yield f"container_image: {image!r} would be read as an option; write ./{image}"
        if self.container is None and self.container_mounts:
            yield "container_mounts: there is no container; set slurm.container and slurm.container_image"
        limit = self.time_seconds
        if limit is not None and limit <= self.signal_seconds:
            yield (
                f"signal_seconds: {self.signal_seconds} s before the end of {limit} s is before its beginning, so that "
                "every job would stop at once; give a longer slurm.time or a smaller slurm.signal_seconds"
            )

    def _extra_options(self) -> Iterator[str]:
        for option in self.extra:
            match = _EXTRA.fullmatch(option)
            if match is None or not is_one_line(option):
                yield f"extra: {option!r}; write --name or --name=value, without spaces, quotes, # and backslashes"
            elif match["option"] in OPTION_KEYS:
                yield f"extra: --{match['option']} is what {OPTION_KEYS[match['option']]} is for"
            elif match["option"] in _REFUSED_OPTIONS:
                yield f"extra: --{match['option']} would change how the job is submitted or read; leave it out"

    def _variables(self) -> Iterator[str]:
        for name, value in self.environment.items():
            if not _VARIABLE.fullmatch(name):
                yield f"environment: {name!r} is no name of a variable"
            elif _SECRET.fullmatch(name):
                yield (
                    f"environment.{name}: a secret would be written into the job script; export it in the shell before "
                    "launch/submit.py, jobs inherit it"
                )
            elif name in _SET_BY_SRUN or name.startswith("SLURM_"):
                yield f"environment.{name}: srun decides it; leave it out"
            if not is_one_line(str(value)):
                yield f"environment.{name}: {value!r} has a line break or control character; leave it out"
