"""Independent tasks over processes. A finished task leaves a mark, and a run that finds the mark skips the task.

Workers write their outputs themselves and return counts only, so nothing large travels between processes and the
number of workers cannot change an output. An output is equal whoever writes it and appears as a whole, so that a task
that is done twice (its first worker seemed dead) does no harm.
"""

import ctypes
import errno
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import read_json, write_json
from preprocessing.progress import Progress

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RESUME = "finished work is kept: mend this and run the same command again"
_JOIN_SECONDS = 10.0
_STUCK_JOIN_SECONDS = 2.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Task:
    """One call of the stage's function."""

    name: str
    """Unique within its stage, fit for a file name."""
    arguments: tuple[Any, ...]
    size: int = 1
    """Share of the work, for the progress line: bytes."""
    removes: tuple[str, ...] = ()
    """Files that nobody needs once the mark is there; they go then."""


Function = Callable[..., dict[str, Any]]
"""Top-level function of a task's arguments; returns counts as a JSON object."""


@dataclass(frozen=True)
class Stage:
    """A list of tasks that may run in any order."""

    name: str
    function: Function
    tasks: Sequence[Task]
    marks: Path
    """Folder of the completion marks, `<task>.json`: `result` is what the function returned, the rest is its cost."""
    if_stuck: Function | None = None
    """Takes the arguments of a task that is stuck and a problem, and returns its result: the run goes on."""
    max_task_seconds: float | None = None
    """A task that takes longer is stuck, and ends the run."""
    label: str | None = None
    """What the progress line shows; null: the name."""

    def mark(self, task: Task) -> Path:
        """Completion mark of a task."""
        return self.marks / f"{task.name}.json"

    def unfinished(self) -> list[Task]:
        """Tasks without a mark."""
        marked = self.marked()
        return [task for task in self.tasks if task.name not in marked]

    def marked(self) -> set[str]:
        """Names of the tasks that have a mark."""
        if not self.marks.is_dir():
            return set()
        # One listing: asking for each of 100,000 marks takes minutes on a network disk.
        return {name.removesuffix(".json") for name in os.listdir(self.marks) if name.endswith(".json")}

    def results(self) -> list[dict[str, Any]]:
        """What the tasks returned, in their order; all must be done."""
        return [read_json(self.mark(task))["result"] for task in self.tasks]


class Tasks(Protocol):
    """Where a process gets its tasks from."""

    def take(self) -> Task | None:
        """A task for this process; None when there is none now."""

    def done(self, task: Task) -> None:
        """Its mark is there."""

    def left(self) -> bool:
        """Whether others are still at work, so that a later `take` may have one; looks at the folder anew."""

    def done_elsewhere(self) -> list[Task]:
        """Tasks that others have finished since the last call."""


class _AllTasks:
    """Of a process that is alone with the stage."""

    def __init__(self, todo: Sequence[Task]) -> None:
        self._waiting = list(reversed(todo))

    def take(self) -> Task | None:
        return self._waiting.pop() if self._waiting else None

    def done(self, task: Task) -> None:
        pass

    def left(self) -> bool:
        return bool(self._waiting)

    def done_elsewhere(self) -> list[Task]:
        return []


def run_stage(
    stage: Stage, num_workers: int, *, isolated: bool = False, tasks: Tasks | None = None
) -> list[dict[str, Any]]:
    """Run the tasks that have no mark yet; results of all tasks in their order.

    One worker works in this process, more are processes of their own; `isolated` makes a process for a single one too,
    so that its memory goes back and Ctrl-C reaches it in the midst of a library call. So does a limit of time. `tasks`
    shares the stage with other processes.

    Raises:
        UserError: what a task raised, or a worker was killed or stuck; the message names the task.
    """
    todo = stage.unfinished()
    if todo:
        stage.marks.mkdir(parents=True, exist_ok=True)
        with Progress(stage.label or stage.name, stage.tasks, todo) as progress:

            def done(task: Task) -> None:
                progress.done(task, read_json(stage.mark(task))["result"])

            shared = tasks or _AllTasks(todo)
            work_at_stage(stage, shared, min(num_workers, len(todo)), done, isolated=isolated)
    for task in stage.tasks:
        _remove_used(task)  # a run that was killed between mark and removal left them
    return stage.results()


def work_at_stage(
    stage: Stage, tasks: Tasks, num_workers: int, done: Callable[[Task], None] = lambda task: None, *, isolated: bool
) -> None:
    """Do `tasks` until all of the stage, which another process may lead, is done; `done` hears of each.

    Raises:
        UserError: see `run_stage`.
    """
    if num_workers == 1 and not isolated and stage.max_task_seconds is None:
        _run_here(stage, tasks, done)
    else:
        _run_processes(stage, tasks, num_workers, done)


def _run_here(stage: Stage, tasks: Tasks, done: Callable[[Task], None]) -> None:
    left = True
    while left:
        task = tasks.take()
        if task:
            _perform(stage, task)
            tasks.done(task)
            done(task)
            continue
        left = tasks.left()
        for task in tasks.done_elsewhere():
            done(task)
        if left:
            time.sleep(_POLL_SECONDS)


def _perform(stage: Stage, task: Task) -> None:
    """Call the function and leave the mark."""
    started, cpu_started = time.monotonic(), time.process_time()
    try:
        result = stage.function(*task.arguments)
        cost = {
            "peak_memory_bytes": _peak_memory(),
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu_started, 3),
        }
        write_json(stage.mark(task), {"result": result, **cost})
        _remove_used(task)
    except Exception as error:
        if stage.mark(task).exists():
            return  # another worker was faster, and has removed what this one was reading
        if isinstance(error, UserError):
            problems = (f"{stage.name} {task.name}: {problem}" for problem in error.problems)
            raise UserError(*problems, code=error.code) from error
        if isinstance(error, OSError):
            # The mark does not exist; outputs are atomic, so nothing half-written has a final name.
            raise UserError(f"{stage.name} {task.name}: {_os_problem(error, stage.marks)}; {_RESUME}") from error
        raise


def _remove_used(task: Task) -> None:
    for path in task.removes:
        Path(path).unlink(missing_ok=True)


def _peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    try:
        # `getrusage` counts the process that started this one too.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
        self.process = context.Process(target=_work, args=(theirs, stage, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()  # the end of the worker then shows as the end of the pipe
        self.task: Task | None = None
        self.since = 0.0

    def give(self, task: Task) -> None:
        self.task, self.since = task, time.monotonic()
        self.pipe.send(task)

    def end(self, patience: float) -> None:
        """At once if need be; within `patience` seconds it may remove what it has half written."""
        self.process.terminate()
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _run_processes(stage: Stage, tasks: Tasks, num_workers: int, done: Callable[[Task], None]) -> None:
    # Workers get the function, not the list of tasks: that may be long.
    blank = Stage(stage.name, stage.function, (), stage.marks)
    alone = isinstance(tasks, _AllTasks)
    timeout = None if alone and stage.max_task_seconds is None else _POLL_SECONDS
    with _ended_workers() as workers:
        while True:
            _hand_out(tasks, workers, num_workers, blank)
            busy: dict[Any, _Worker] = {worker.pipe: worker for worker in workers if worker.task}
            left = tasks.left() if len(busy) < num_workers else True
            for task in tasks.done_elsewhere():
                done(task)
            if not busy and not left:
                return
            if not busy:
                time.sleep(_POLL_SECONDS)
            for pipe in wait(list(busy), timeout) if busy else ():
                task = _answer(stage, busy[pipe])
                tasks.done(task)
                done(task)
            for task in _given_up(stage, workers):
                tasks.done(task)
                done(task)


def _hand_out(tasks: Tasks, workers: list[_Worker], num_workers: int, stage: Stage) -> None:
    """Give tasks to the workers that have none, and start workers as long as there are tasks for them."""
    while (idle := next((worker for worker in workers if not worker.task), None)) or len(workers) < num_workers:
        task = tasks.take()
        if task is None:
            return
        if idle is None:
            idle = _Worker(stage)
            workers.append(idle)
        try:
            idle.give(task)
        except ConnectionError:
            raise _death(stage, idle) from None


def _answer(stage: Stage, worker: _Worker) -> Task:
    """The task that a worker has finished."""
    assert worker.task is not None
    try:
        answer = worker.pipe.recv()
    except (EOFError, ConnectionError):
        raise _death(stage, worker) from None
    if isinstance(answer, BaseException):
        raise answer
    task, worker.task = worker.task, None
    return task


def _given_up(stage: Stage, workers: list[_Worker]) -> Iterator[Task]:
    """Tasks that took too long; their workers are ended and leave the list.

    Raises:
        UserError: the stage cannot do without the task.
    """
    if stage.max_task_seconds is None:
        return
    for worker in [worker for worker in workers if worker.task]:
        seconds = time.monotonic() - worker.since
        if (task := worker.task) is None or seconds <= stage.max_task_seconds:
            continue
        worker.end(_STUCK_JOIN_SECONDS)
        workers.remove(worker)
        problem = f"still at work after {stage.max_task_seconds:g} seconds (max_task_seconds)"
        if not stage.mark(task).exists():  # else it was done at the last moment
            if stage.if_stuck is None:
                raise UserError(
                    f"{stage.name} {task.name}: {problem}, stuck, or the unit is too large; raise or unset the limit, "
                    f"or reject what is stuck with on_damaged_file=skip; {_RESUME}"
                )
            print(f"{stage.name} {task.name}: {problem}: rejected", file=sys.stderr, flush=True)
            result = stage.if_stuck(*task.arguments, problem)
            cost = {"peak_memory_bytes": 0, "seconds": round(seconds, 3), "cpu_seconds": 0.0}
            write_json(stage.mark(task), {"result": result, **cost})
        _remove_used(task)
        yield task


@contextmanager
def _ended_workers() -> Iterator[list[_Worker]]:
    """A list for workers, who have ended afterwards."""
    workers: list[_Worker] = []
    try:
        yield workers
        for worker in workers:
            worker.pipe.send(None)
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        deadline = time.monotonic() + _JOIN_SECONDS
        for worker in workers:
            worker.process.join(max(deadline - time.monotonic(), 0.0))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def _work(pipe: "Connection[Any, Any]", stage: Stage, parent: int) -> None:
    """Life of a worker process: tasks in, acknowledgements out, until None or the end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then stops its workers
    signal.signal(signal.SIGTERM, _stop)
    _die_with(parent)
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


def _die_with(parent: int) -> None:
    """A killed run must not go on working behind the back of the next one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
        if os.getppid() != parent:
            os._exit(1)


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
