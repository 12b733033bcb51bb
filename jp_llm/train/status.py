"""status.json and DONE: how a run stands, as its main process says; the last words of every process. Loads no torch."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from jp_llm.config.run import RunConfig
from jp_llm.runtime.disk import require_disk
from jp_llm.runtime.env import World, world_from
from jp_llm.runtime.errors import ExitCode, UserError, code_of, reason_of
from jp_llm.runtime.files import read_json, write_json
from jp_llm.runtime.host import host_name
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.records import Events
from jp_llm.train.state import TrainState
from jp_llm.watch.heartbeat import PATIENCE_SECONDS, Pulse

_STATES = {ExitCode.DONE: "done", ExitCode.SAVED: "saved"}
_MOST_CHARACTERS = 2000


class Status:
    """Of one run; only the main process writes."""

    def __init__(self, folder: RunFolder, world: World) -> None:
        self.folder = folder
        self.world = world
        self.state = TrainState()
        """Where the run stands; known when its checkpoint is loaded."""

    def running(self) -> None:
        """The run goes on: it is not done (any more)."""
        if self.world.is_main:
            self.folder.done.unlink(missing_ok=True)
            _write(self.folder, "running", None, self.state.step, "")

    def ended(self, code: ExitCode, reason: str) -> None:
        """The last words of a run, said while all of its processes are still there."""
        step = self.state.step
        if self.world.is_main:
            if code is ExitCode.DONE:
                write_json(self.folder.done, {"step": step, "time": round(time.time(), 3)})
            _write(self.folder, _STATES.get(code, "failed"), code, step, reason)
            Events(self.folder.path, self.world).write("exit", code=code, step=step, reason=reason, host=host_name())


class LastWords:
    """Says why this process ends, before anything that it holds is given back, which may wait for others."""

    def __init__(self, status: Status, pulse: Pulse) -> None:
        self.status = status
        self.pulse = pulse
        self._said = False

    def say(self, code: ExitCode, reason: str = "") -> None:
        """Once; what comes later is a consequence. A run that ends well is watched until its processes have met."""
        if not self._said:
            self._said = True
            if code not in (ExitCode.DONE, ExitCode.SAVED):
                self.pulse.close(code, reason)
            self.status.ended(code, reason)

    def on_exit(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """For `ExitStack.push`: the words of an exception; none of its own."""
        if error is not None:
            self.say(code_of(error), reason_of(error)[:_MOST_CHARACTERS])


@contextmanager
def held(folder: RunFolder, world: World) -> Iterator[None]:
    """The run folder is this run's; the main process sees to that before it writes anything there.

    Raises:
        UserError: another run is working in it, which may have ended when a supervisor tries again (exit code 1); or
            its disk cannot do what checkpoints need.
    """
    with ExitStack() as stack:
        if world.is_main:
            patience, busy = PATIENCE_SECONDS, ExitCode.UNEXPECTED
            stack.enter_context(locked(folder.path, patience_seconds=patience, busy=busy, required=False))
            require_disk(folder.path)
        yield


def say_refused(config: RunConfig, error: UserError) -> None:
    """For a run that was refused before it began: every process says so with its heartbeat, for it may be the only one
    that knows. A folder that is not there, or where a run is alive, is left alone."""
    folder = RunFolder(Path(config.run_dir))
    if not folder.path.is_dir():
        return
    try:
        world = world_from(os.environ)
    except UserError:
        return  # nobody knows which process this is
    Pulse(folder, world, config.watchdog).refuse(error)
    # A slip of the pen changes nothing about how the run stands, and nothing does about one that is complete.
    if world.is_main and error.code != ExitCode.CONFIG_REFUSED:
        with suppress(OSError, UserError), locked(folder.path, required=False):
            before = _read(folder)
            if before.get("state") != "done":
                _write(folder, "failed", error.code, before.get("step", 0), str(error)[:_MOST_CHARACTERS])


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        found = read_json(folder.status)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(folder: RunFolder, state: str, code: ExitCode | None, step: int, reason: str) -> None:
    value = {
        "state": state,
        "code": code,
        "step": step,
        "reason": reason,
        "host": host_name(),
        "pid": os.getpid(),
        "time": round(time.time(), 3),
    }
    write_json(folder.status, value)
