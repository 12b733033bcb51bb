"""Elements of a Slurm array, or tasks of srun without MPI: they share a folder and nothing else.

Whoever comes first leads: it plans, begins the stages and sums up. The others help with the stage that it has written
to the folder. When the leader dies, another one takes its place and finds the finished work by its marks.
"""

import time
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import atomic_writer, read_json, write_json
from preprocessing.config import CorpusConfig
from preprocessing.execution.claims import Claims
from preprocessing.execution.launcher import Launch, launch
from preprocessing.execution.messages import stage_from_json, stage_to_json
from preprocessing.execution.shared import SharedTasks
from preprocessing.execution.work import Work, limited
from preprocessing.executor import Stage, run_stage, work_at_stage
from preprocessing.output_folder import (
    CLAIMS_FOLDER,
    check_config,
    claimed_with_others,
    record_config,
    remove_leftovers,
)

_LEADER = "leader"
_STAGE_FILE = "stage.json"
_POLL_SECONDS = 1.0


def run(config: CorpusConfig, work: Work) -> None:
    """Lead, or help until the leader has finished.

    Raises:
        UserError: what `work` raises, in this element or in another.
    """
    started = launch()
    if started.job is None:
        raise UserError(
            "backend=slurm_array: start it with sbatch --array=0-15 or srun (SLURM_JOB_ID is not set)",
            code=ExitCode.CONFIG_REFUSED,
        )
    with claimed_with_others(config) as folder, Claims(folder / CLAIMS_FOLDER) as claims:
        _Element(config, folder, claims, started).run(work)


class _Element:
    def __init__(self, config: CorpusConfig, folder: Path, claims: Claims, started: Launch) -> None:
        self._config = config
        self._folder = folder
        self._claims = claims
        self._num_workers = config.num_workers or started.cpus or 1
        self._stage_file = folder / CLAIMS_FOLDER / _STAGE_FILE
        self._finished = folder / CLAIMS_FOLDER / f"{started.job}.finished"
        self._failed = folder / CLAIMS_FOLDER / f"{started.job}.failed"

    def run(self, work: Work) -> None:
        try:
            while not self._finished.exists():
                self._check()
                if self._claims.take(_LEADER):
                    if not self._finished.exists():
                        self._lead(work)
                        self._finished.touch()
                    self._claims.release(_LEADER)
                elif (stage := self._announced()) is not None:
                    tasks = SharedTasks(stage, self._claims, self._claims.spread, self._check)
                    work_at_stage(stage, tasks, self._num_workers, isolated=True)
                else:
                    time.sleep(_POLL_SECONDS)
        except _Stopped:
            raise
        except UserError as error:
            write_json(self._failed, {"problems": list(error.problems), "code": int(error.code)})
            raise
        except BaseException as error:
            write_json(self._failed, {"problems": [f"{type(error).__name__}: {error}"], "code": 1})
            raise

    def _lead(self, work: Work) -> None:
        record_config(self._config, self._folder)
        self._stage_file.unlink(missing_ok=True)
        work(self._config, self._folder, self._perform)
        remove_leftovers(self._folder)

    def _perform(self, stage: Stage, isolated: bool) -> list[dict[str, Any]]:
        stage = limited(stage, self._config, isolated)
        tasks = SharedTasks(stage, self._claims, check=self._check)
        if stage.unfinished():
            with atomic_writer(self._stage_file) as file:
                file.write(stage_to_json(stage))
        # Isolated: a library call that lets no other thread run must not silence the claims.
        results = run_stage(stage, self._num_workers, isolated=True, tasks=tasks)
        self._stage_file.unlink(missing_ok=True)
        return results

    def _announced(self) -> Stage | None:
        """The stage that the leader works at."""
        try:
            content = self._stage_file.read_bytes()
        except FileNotFoundError:
            return None
        check_config(self._config, self._folder)
        stage = stage_from_json(content, self._config)
        return stage if stage.unfinished() else None

    def _check(self) -> None:
        """
        Raises:
            UserError: another element has failed.
        """
        if self._failed.exists():
            failure = read_json(self._failed)
            problems = ("stopped because another element has failed:", *failure["problems"])
            raise _Stopped(*problems, code=ExitCode(failure["code"]))


class _Stopped(UserError):
    """The failure of another element."""
