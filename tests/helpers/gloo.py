"""Several processes in one group, kept for the whole test session: a DeepSpeed start costs seconds, a call does not.

    results = processes.run(function, *args)      # [function(*args) on rank 0, on rank 1, ...]

The function stands at the top level of a test file; it and its arguments travel by name and by pickle. An exception on
any rank fails the caller with that rank's traceback.
"""

import importlib.util
import inspect
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from ports import free_port

TIMEOUT_SECONDS = 240.0
LAG_SECONDS = 60.0
"""On a busy machine one process may well end so long after another. Both stay below the time that a test may take."""
MOST_THREADS = 150


class Processes:
    """`size` processes with torch.distributed over gloo; started at the first `run`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call `function(*args)` on every rank and return the results in rank order."""
        if not self._processes:
            self._start()
        for pipe in self._pipes:
            pipe.send((inspect.getfile(function), function.__name__, args))
        results, failures = [], []
        for rank, pipe in enumerate(self._pipes):
            if not _answers(pipe, self._pipes):
                failures.append(f"rank {rank}: no answer")
                continue
            try:
                failed, value = pipe.recv()
            except EOFError:
                failed, value = True, "the process died"
            if failed:
                failures.append(f"rank {rank}:\n{value}")
            results.append(value)
        if failures:
            self.close()
            raise AssertionError("\n".join(failures))
        if self._tired():
            self.close()
        return results

    def _tired(self) -> bool:
        """Whether the processes have collected so many process groups (DeepSpeed lets none go) that their threads,
        each of which wakes a hundred times a second, take the processor from everything else."""
        tasks = [Path(f"/proc/{process.pid}/task") for process in self._processes]
        return any(path.is_dir() and len(list(path.iterdir())) > MOST_THREADS for path in tasks)

    def close(self) -> None:
        """End the processes; the next `run` starts new ones."""
        for process in self._processes:
            process.kill()
            process.join()
        self._pipes, self._processes = [], []

    def _start(self) -> None:
        port = free_port()
        context = multiprocessing.get_context("forkserver")
        # Loaded once and not once in every process; the optimizers load the second.
        context.set_forkserver_preload(["torch", "torch._dynamo"])
        for rank in range(self.size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, rank, self.size, port), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)


def _answers(pipe: Connection, pipes: list[Connection]) -> bool:
    """Wait for `pipe`; where another rank has answered long before, this one waits for it in vain."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if pipe.poll(1.0):
            return True
        if any(other.poll() for other in pipes if other is not pipe):
            deadline = min(deadline, time.monotonic() + LAG_SECONDS)
    return False


def _serve(pipe: Connection, rank: int, size: int, port: int) -> None:
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in variables.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"})
    import torch

    from jp_llm.engine.prepare import prepare

    torch.set_num_threads(1)
    prepare(torch.device("cpu"))
    modules: dict[str, ModuleType] = {}
    while True:
        file, name, args = pipe.recv()
        try:
            if file not in modules:
                modules[file] = _load(file)
            pipe.send((False, getattr(modules[file], name)(*args)))
        except BaseException:
            pipe.send((True, traceback.format_exc()))


def _load(file: str) -> ModuleType:
    name = f"in_worker_{abs(hash(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
