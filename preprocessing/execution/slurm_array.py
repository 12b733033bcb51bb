"""Elements of a Slurm array, or tasks of srun without MPI: they share a folder and nothing else.

Whoever comes first leads: it plans, begins the stages and sums up. The others help with the stage that it has written
to the folder. When the leader dies, another one takes its place and finds the finished work by its marks.
"""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import atomic_writer, fingerprint_of, read_json, write_json
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
_HOW = {"output_dir", "num_workers", "backend", "max_task_seconds", "check_disk"}
"""Keys in which the elements may differ."""


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
        # The notes of one command: another one in the same job, of other stages say, finds none.
        command = fingerprint_of(config.model_dump(mode="json", exclude=_HOW))[:16]
        self._finished = folder / CLAIMS_FOLDER / f"{started.job}.{command}.finished"
        self._failed = folder / CLAIMS_FOLDER / f"{started.job}.{command}.failed"
        self._old_failure = self._failure()

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
            self._fail(error.problems, error.code)
            raise
        except BaseException as error:
            self._fail([f"{type(error).__name__}: {error}"], ExitCode.UNEXPECTED)
            raise

    def _fail(self, problems: Sequence[str], code: ExitCode) -> None:
        # `token`: the same failure once more is a new one.
        write_json(self._failed, {"problems": list(problems), "code": int(code), "token": secrets.token_hex(8)})

    def _lead(self, work: Work) -> None:
        record_config(self._config, self._folder)
        self._stage_file.unlink(missing_ok=True)
        work(self._config, self._folder, self._perform)
        remove_leftovers(self._folder)

    def _perform(self, stage: Stage, isolated: bool) -> list[dict[str, Any]]:
        stage = limited(stage, self._config)
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
            UserError: another element has failed since this one began: an element that begins later tries again.
        """
        if (failure := self._failure()) is not None and failure != self._old_failure:
            problems = ("stopped because another element has failed:", *failure["problems"])
            raise _Stopped(*problems, code=ExitCode(failure["code"]))

    def _failure(self) -> dict[str, Any] | None:
        """The last one of this command in this job."""
        try:
            failure: dict[str, Any] = read_json(self._failed)
        except FileNotFoundError:
            return None
        return failure


class _Stopped(UserError):
    """The failure of another element."""
