"""Independent tasks over processes. A finished task leaves a mark, and a run that finds the mark skips the task.

Workers write their outputs themselves and return counts only, so nothing large travels between processes and the
number of workers cannot change an output.
"""

import errno
import multiprocessing
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import read_json, write_json
from preprocessing.progress import Progress

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RESUME = "finished work is kept: mend this and run the same command again"
_JOIN_SECONDS = 10.0


@dataclass(frozen=True)
class Task:
    """One call of the stage's function."""

    name: str
    """Unique within its stage, fit for a file name."""
    arguments: tuple[Any, ...]
    size: int = 1
    """Share of the work, for the progress line: bytes."""


Function = Callable[..., dict[str, Any]]
"""Top-level function of a task's arguments; returns counts as a JSON object."""


@dataclass(frozen=True)
class Stage:
    """A list of tasks that may run in any order."""

    name: str
    function: Function
    tasks: Sequence[Task]
    marks: Path
    """Folder of the completion marks, `<task>.json`; a mark holds what the function returned."""

    def mark(self, task: Task) -> Path:
        """Completion mark of a task."""
        return self.marks / f"{task.name}.json"

    def unfinished(self) -> list[Task]:
        """Tasks without a mark."""
        return [task for task in self.tasks if not self.mark(task).exists()]

    def results(self) -> list[dict[str, Any]]:
        """What the tasks returned, in their order; all must be done."""
        return [read_json(self.mark(task)) for task in self.tasks]


def run_stage(stage: Stage, num_workers: int, *, isolated: bool = False) -> list[dict[str, Any]]:
    """Run the tasks that have no mark yet; results of all tasks in their order.

    One worker works in this process, more are processes of their own; `isolated` makes a process for a single one too,
    so that its memory goes back and Ctrl-C reaches it in the midst of a library call.

    Raises:
        UserError: what a task raised, or a worker was killed; the message names the task.
    """
    todo = stage.unfinished()
    if todo:
        stage.marks.mkdir(parents=True, exist_ok=True)
        with Progress(stage.name, stage.tasks, todo) as progress:
            if num_workers == 1 and not isolated:
                for task in todo:
                    _perform(stage, task)
                    progress.done(task, read_json(stage.mark(task)))
            else:
                _run_processes(stage, todo, min(num_workers, len(todo)), progress)
    return stage.results()


def _perform(stage: Stage, task: Task) -> None:
    """Call the function and leave the mark."""
    try:
        write_json(stage.mark(task), stage.function(*task.arguments))
    except UserError as error:
        raise UserError(
            *(f"{stage.name} {task.name}: {problem}" for problem in error.problems), code=error.code
        ) from error
    except OSError as error:
        # The mark does not exist; outputs are atomic, so nothing half-written has a final name.
        raise UserError(f"{stage.name} {task.name}: {_os_problem(error, stage.marks)}; {_RESUME}") from error


def _os_problem(error: OSError, folder: Path) -> str:
    problem = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    if error.errno in _NO_SPACE:
        free = shutil.disk_usage(folder).free / 1e6
        problem += f" (writing below {folder.parent.parent}, where {free:,.1f} MB are free)"
    return problem


class _Worker:
    """A process, the pipe to it, and what it is working on."""

    def __init__(self, stage: Stage) -> None:
        # A fresh interpreter: nothing of this process (locks, open files) is inherited.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, stage), daemon=True)
        self.process.start()
        theirs.close()  # the end of the worker then shows as the end of the pipe
        self.task: Task | None = None

    def give(self, task: Task | None) -> None:
        self.task = task
        self.pipe.send(task)


def _run_processes(stage: Stage, todo: Sequence[Task], num_workers: int, progress: Progress) -> None:
    waiting = list(reversed(todo))
    # Workers get the function, not the list of tasks: that may be long.
    blank = Stage(stage.name, stage.function, (), stage.marks)
    workers: list[_Worker] = []
    try:
        for _ in range(num_workers):
            worker = _Worker(blank)
            workers.append(worker)
            worker.give(waiting.pop())
        while busy := {worker.pipe: worker for worker in workers if worker.task}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                assert worker.task is not None
                try:
                    answer = worker.pipe.recv()
                    if isinstance(answer, BaseException):
                        raise answer
                    progress.done(worker.task, read_json(stage.mark(worker.task)))
                    worker.give(waiting.pop() if waiting else None)
                except (EOFError, ConnectionError):
                    raise _death(stage, worker) from None
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        for worker in workers:
            worker.process.join(_JOIN_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def _work(pipe: "Connection[Any, Any]", stage: Stage) -> None:
    """Life of a worker process: tasks in, acknowledgements out, until None or the end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then stops its workers
    signal.signal(signal.SIGTERM, _stop)
    try:
        while (task := pipe.recv()) is not None:
            try:
                _perform(stage, task)
                pipe.send(None)
            except UserError as error:
                pipe.send(error)
            except Exception:
                pipe.send(RuntimeError(f"{stage.name} {task.name} failed:\n{traceback.format_exc()}"))
    except (EOFError, ConnectionError):
        pass  # the parent is gone


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through the `finally` clauses, so that temporary files go."""
    sys.exit(128 + number)


def _death(stage: Stage, worker: _Worker) -> UserError:
    worker.process.join(_JOIN_SECONDS)
    code = worker.process.exitcode
    assert worker.task is not None
    if code == -signal.SIGKILL:
        cause = "was killed, most likely because memory ran out: lower num_workers, or give the job more memory"
    elif code is not None and code < 0:
        cause = f"died of {signal.Signals(-code).name}"
    else:
        cause = f"ended with exit code {code}"
    return UserError(
        f"{stage.name} {worker.task.name}: its worker process {cause}; {_RESUME}", code=ExitCode.UNEXPECTED
    )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
