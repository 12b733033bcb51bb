"""How this process was started, from the variables that launchers set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jp_llm.runtime.env import HYDRA, MVAPICH, OPEN_MPI, SRUN

Backend = Literal["local", "mpi", "slurm_array"]


@dataclass(frozen=True)
class Launch:
    """What the launcher says."""

    size: int
    """Processes it has started together."""
    rank: int
    job: str | None
    """Of Slurm, the same for all elements of an array, with the step if srun has started this process."""
    in_array: bool
    elements: int
    """Of the array; each has `size` processes."""
    is_first: bool
    """Of all processes: the one that prints what all would print."""
    cpus: int | None
    """Cores that Slurm gives to each process."""


def launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read `environment`, which may be that of mpirun (Open MPI, MPICH and relatives), srun, or sbatch --array."""
    # In a batch script SLURM_NTASKS is that of the whole job; only srun sets the number of its own step.
    srun = "SLURM_STEP_ID" in environment
    launchers = [OPEN_MPI, MVAPICH, HYDRA, *([SRUN] if srun else [])]
    sizes, ranks = [names.size for names in launchers], [names.rank for names in launchers]
    job = environment.get("SLURM_ARRAY_JOB_ID") or environment.get("SLURM_JOB_ID")
    rank = _number(environment, ranks, 0)
    index = _number(environment, ["SLURM_ARRAY_TASK_ID"], 0)
    return Launch(
        size=max(_number(environment, sizes, 1), 1),
        rank=rank,
        # Several steps of a job are runs of their own. SLURM_RESTART_COUNT is not part of it: that of an element which
        # was requeued alone differs from that of the others.
        job=job and (f"{job}.{environment['SLURM_STEP_ID']}" if srun else job),
        in_array="SLURM_ARRAY_TASK_ID" in environment,
        elements=max(_number(environment, ["SLURM_ARRAY_TASK_COUNT"], 1), 1),
        is_first=rank == 0 and index == _number(environment, ["SLURM_ARRAY_TASK_MIN"], index),
        cpus=_number(environment, ["SLURM_CPUS_PER_TASK"], 0) or None,
    )


def chosen(backend: Literal["auto"] | Backend, started: Launch) -> Backend:
    """`auto` takes what fits the launcher.

    Tasks that srun starts within an array need no MPI: they share the work as the elements do.
    """
    if backend != "auto":
        return backend
    if started.in_array:
        return "slurm_array"
    return "mpi" if started.size > 1 else "local"


def _number(environment: Mapping[str, str], names: list[str], default: int) -> int:
    return next((int(environment[name]) for name in names if environment.get(name, "").isdigit()), default)
