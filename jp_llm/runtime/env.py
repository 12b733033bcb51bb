"""Who am I: rank, local rank and world size, as the launcher says. Loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from jp_llm.runtime.errors import UserError, config_error
from jp_llm.runtime.hostlist import tasks_per_node


@dataclass(frozen=True)
class World:
    """The processes of this run and the place of this one among them."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    local_size: int | None = None
    """Processes on this machine; None if nothing says so."""
    node: int | None = None
    """Number of this machine among those of the run; None if nothing says so."""
    launcher: str = "python"
    """Who started the processes: python, torchrun, deepspeed, environment (somebody set RANK), srun, mpirun."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0


@dataclass(frozen=True)
class Variables:
    """How a launcher names what it says. Of several names the first that is there counts."""

    launcher: str
    rank: str
    size: str
    local_rank: tuple[str, ...]
    local_size: tuple[str, ...] = ()
    node: tuple[str, ...] = ()


TORCH = Variables(
    "environment",
    "RANK",
    "WORLD_SIZE",
    ("LOCAL_RANK",),
    ("LOCAL_WORLD_SIZE", "LOCAL_SIZE"),
    ("GROUP_RANK", "CROSS_RANK"),
)
OPEN_MPI = Variables(
    "mpirun",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    ("OMPI_COMM_WORLD_LOCAL_RANK",),
    ("OMPI_COMM_WORLD_LOCAL_SIZE",),
)
MVAPICH = Variables(
    "mpirun",
    "MV2_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE",
    ("MV2_COMM_WORLD_LOCAL_RANK",),
    ("MV2_COMM_WORLD_LOCAL_SIZE",),
)
HYDRA = Variables(  # MPICH, Intel MPI
    "mpirun", "PMI_RANK", "PMI_SIZE", ("MPI_LOCALRANKID", "PMI_LOCAL_RANK"), ("MPI_LOCALNRANKS", "PMI_LOCAL_SIZE")
)
# Only srun sets the number of tasks of its own step; in a batch script SLURM_PROCID is 0 and means nothing.
SRUN = Variables("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", ("SLURM_LOCALID",), node=("SLURM_NODEID",))

_SCHEDULED = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE")
"""Each says, if it is there, how many processes somebody started or meant to."""


def world_from(environment: Mapping[str, str]) -> World:
    """Read what `deepspeed`, `torchrun`, `srun`, `mpirun` or a plain `python` left in the environment.

    Raises:
        UserError: a variable is missing or no number; or several processes were started but would each train alone
            over the same files.
    """
    variables = _variables_of(environment)
    if variables is None:
        _refuse_singletons(environment)
        return World()
    rank, size = _number(environment, variables.rank), _number(environment, variables.size)
    local_rank = _first(environment, variables.local_rank)
    local_size = _first(environment, variables.local_size)
    node = _first(environment, variables.node)
    if variables is TORCH:
        _refuse_separate_worlds(environment, size)
    elif size == 1:
        _refuse_singletons(environment)
    if variables is SRUN:
        counts = tasks_per_node(environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
        local_size = counts[node] if node is not None and node < len(counts) else None
    if local_rank is None:
        if size > 1 and variables is not TORCH:
            raise config_error(
                [
                    f"{variables.rank} is set, but none of {', '.join(variables.local_rank)}: this process does not "
                    "know which GPU is its own; set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT for "
                    "every process, or start with torchrun"
                ]
            )
        local_rank = 0
    if not 0 <= rank < size:
        raise config_error([f"{variables.rank}={rank}, but {variables.size}={size}; ranks count from 0"])
    return World(rank, local_rank, size, local_size, node, _launcher(environment, variables))


def rank_from(environment: Mapping[str, str]) -> int:
    """The rank alone; never fails. Where nobody says it, or not in a way that can be believed, it is 0."""
    try:
        return world_from(environment).rank
    except UserError:
        # Better the same error from many processes than from none.
        rank = environment.get("SLURM_PROCID", "0")
        return int(rank) if rank.isdigit() else 0


def _variables_of(environment: Mapping[str, str]) -> Variables | None:
    named = [name for name in ("RANK", "WORLD_SIZE") if name in environment]
    if len(named) == 1:
        raise config_error(
            [f"{named[0]} is set, but not RANK and WORLD_SIZE both; start through `torchrun`, `deepspeed` or `srun`"]
        )
    if named:
        return TORCH
    if "OMPI_COMM_WORLD_SIZE" in environment:
        return OPEN_MPI
    if "MV2_COMM_WORLD_SIZE" in environment:
        return MVAPICH
    step = environment.get("SLURM_STEP_NUM_TASKS")
    # Hydra starts its own helpers with srun, one per machine; srun itself speaks PMI to its tasks too.
    srun_speaks_pmi = step == environment.get("PMI_SIZE") and environment.get("SLURM_PROCID") == environment.get(
        "PMI_RANK"
    )
    hydra = "PMI_SIZE" in environment and "PMI_RANK" in environment
    if hydra and not srun_speaks_pmi and (step is None or "MPI_LOCALRANKID" in environment):
        return HYDRA
    return SRUN if step is not None else None


def _launcher(environment: Mapping[str, str], variables: Variables) -> str:
    if variables is TORCH:
        if "TORCHELASTIC_RUN_ID" in environment:
            return "torchrun"
        if "CROSS_SIZE" in environment:
            return "deepspeed"
    return variables.launcher


def _refuse_singletons(environment: Mapping[str, str]) -> None:
    """Where this process is alone in its world, but was not meant to be."""
    for variable in _SCHEDULED:
        if _number(environment, variable, 1) > 1:
            of_slurm = variable.startswith("SLURM")
            cure = (
                "`srun python launch/train.py ...` starts one process per task (`srun -n 1 ...` if one is meant)"
                if of_slurm
                else "use the mpirun of one MPI library for all of them, `torchrun` or `deepspeed`"
            )
            raise config_error(
                [
                    f"{variable}={environment[variable]} says that several processes are meant, but this one knows of "
                    f"itself only: each would train alone over the same files; {cure}"
                ]
            )


def _refuse_separate_worlds(environment: Mapping[str, str], size: int) -> None:
    """Where each of several tasks ran a `torchrun` or `deepspeed` of its own that does not know of the others."""
    agents = _number(environment, "GROUP_WORLD_SIZE", 0)
    if not agents:
        agents = size
        # Once `complete_environment` has been there, the tasks are the ranks.
        started = [_number(environment, name, 1) for name in _SCHEDULED if name != "SLURM_NTASKS"]
        if "CROSS_SIZE" in environment and max(started) != size:
            agents = _number(environment, "CROSS_SIZE")
    if size == 1:
        _refuse_singletons(environment)
    for variable in _SCHEDULED:
        # In a batch script many tasks may be asked for, and one launcher serve all of their GPUs.
        if variable != "SLURM_NTASKS" and _number(environment, variable, 1) > agents:
            raise config_error(
                [
                    f"{variable}={environment[variable]}, but the launcher inside knows of {agents}: so many runs "
                    "would train over the same files; give torchrun --nnodes, --rdzv-backend=c10d and "
                    "--rdzv-endpoint=<first host>:<port>, or let srun start the processes: "
                    "`srun python launch/train.py ...`"
                ]
            )


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    return next((_number(environment, name) for name in names if environment.get(name)), None)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise config_error([f"{name}={text!r} is no number; the launcher sets it, so let nobody else do"]) from None
