"""status.json and DONE: how a run stands, as its main process says; the last words of every process. Loads no torch."""

import os
import time
from pathlib import Path
from types import TracebackType

from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import write_json
from jp_llm.runtime.host import host_name
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.records import Events
from jp_llm.train.state import TrainState
from jp_llm.watch.heartbeat import Pulse

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
            code = error.code if isinstance(error, UserError) else ExitCode.UNEXPECTED
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self.say(code, reason[:_MOST_CHARACTERS])


def say_refused(run_dir: Path, error: UserError) -> None:
    """For a run that was refused before it began; a folder that is not there or where a run is alive is left alone."""
    if run_dir.is_dir():
        try:
            with locked(run_dir):
                _write(RunFolder(run_dir), "failed", error.code, 0, str(error)[:_MOST_CHARACTERS])
        except (OSError, UserError):
            return


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
