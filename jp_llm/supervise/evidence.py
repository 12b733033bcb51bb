"""How a start ended, read from the run folder: what the run says counts before what its launcher returns.

`deepspeed` returns 0 when its launcher was killed and `torchrun` returns 1 for every failure, so a return code proves
little. What a file says counts only if it was written since the start; clocks of other machines are not asked.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise.command import TRAINING_SCRIPT
from jp_llm.supervise.policy import Ending, Order

# What is worse, or says more, comes first: of several processes the one counts that knows why.
_BY_WEIGHT = (
    ExitCode.NOT_TRUSTWORTHY,
    ExitCode.RERUN_ELSEWHERE,
    ExitCode.CONFIG_REFUSED,
    ExitCode.PREFLIGHT_REFUSED,
    ExitCode.HUNG,
    ExitCode.SAVED,
    ExitCode.UNEXPECTED,
)
KILL_REASON = "file KILL"
"""How the reason of a stop by the file KILL begins in status.json."""


class Evidence:
    """What a run folder says about the start that began when this was made."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._before = {path: _content(path) for path in self._files()}
        self._events_before = folder.events.stat().st_size if folder.events.exists() else 0

    def ending(self, code: int, num_steps: int, *, order: Order = Order.NOBODY) -> Ending:
        """All that is known now that the launcher returned `code`; `order` is the supervisor's own."""
        status, beats = self.status(), list(self.heartbeats())
        cause, witness = self._cause(code, num_steps, status, beats)
        reason = str(witness.get("reason") or "")
        if cause is ExitCode.SAVED and order is Order.NOBODY:
            order = Order.PERSON if reason.startswith(KILL_REASON) else Order.SIGNAL
        host = str(witness.get("host") or "") if cause is not ExitCode.UNEXPECTED or reason else ""
        return Ending(cause, code, self._step(status, beats), reason, host, order)

    def status(self) -> dict[str, Any]:
        """status.json of this start; empty if it wrote none."""
        return self._new(self.folder.status)

    def heartbeats(self) -> Iterator[dict[str, Any]]:
        """The last heartbeat of every process of this start."""
        for path in sorted(self.folder.heartbeats.glob("rank_*.json")):
            if beat := self._new(path):
                yield beat

    def events(self) -> list[dict[str, Any]]:
        """Events since the start."""
        if not self.folder.events.exists():
            return []
        size = self._events_before
        with self.folder.events.open("rb") as file:
            before = file.read(size).count(b"\n")
        return read_json_lines(self.folder.events)[before:]

    def first_sample(self, step: int | None) -> int | None:
        """Global index of the first sample of `step`, if an event of this start tells it."""
        for event in self.events():
            if event.get("event") in ("start", "resume") and "consumed_samples" in event and step is not None:
                return int(event["consumed_samples"] + (step - event["step"] - 1) * event["global_batch_size"])
        return None

    def _cause(
        self, code: int, num_steps: int, status: dict[str, Any], beats: list[dict[str, Any]]
    ) -> tuple[ExitCode, dict[str, Any]]:
        """Why it ended, and who says so."""
        if done_step(self.folder) >= num_steps:
            return ExitCode.DONE, status
        witnesses = [status, *beats]
        for cause in _BY_WEIGHT:
            ended = [witness for witness in witnesses if witness.get("code") == cause]
            if cause is ExitCode.SAVED and status.get("state") != "saved":
                # All processes leave together; one that was on its way when another died proves nothing.
                continue
            if ended:
                return cause, max(ended, key=lambda witness: bool(witness.get("reason")))
            if code == cause and cause is not ExitCode.UNEXPECTED:
                return cause, {}
        return ExitCode.UNEXPECTED, {"reason": _meaning(code)}

    @staticmethod
    def _step(status: dict[str, Any], beats: list[dict[str, Any]]) -> int | None:
        # A process that is starting is at step 0; the step under way is that of the process that is furthest.
        steps = [witness["step"] for witness in (status, *beats) if isinstance(witness.get("step"), int)]
        return max(steps, default=0) or None

    def _files(self) -> list[Path]:
        return [self.folder.status, *self.folder.heartbeats.glob("rank_*.json")]

    def _new(self, path: Path) -> dict[str, Any]:
        content = _content(path)
        if content is None or content == self._before.get(path):
            return {}
        try:
            value = read_json(path)
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def done_step(folder: RunFolder) -> int:
    """The step that DONE names; 0 without DONE."""
    try:
        return int(read_json(folder.done)["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def orphans(heartbeats: Iterator[dict[str, Any]]) -> list[int]:
    """Processes of a run on this machine that are still there, although their launcher is not."""
    here = socket.gethostname()
    return [beat["pid"] for beat in heartbeats if beat.get("host") == here and _is_training(beat.get("pid"))]


def _is_training(pid: Any) -> bool:
    # The number may belong to somebody else by now.
    try:
        words = Path(f"/proc/{int(pid)}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, TypeError):
        return False
    return any(word.endswith(TRAINING_SCRIPT.encode()) for word in words)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _meaning(code: int) -> str:
    if code == 0:
        return "the launcher returned 0, but the last step is not saved"
    if code > 128 and code - 128 in set(signal.valid_signals()):
        return f"the launcher was ended by {signal.Signals(code - 128).name}"
    return ""


def kill_all(pids: list[int]) -> None:
    """SIGKILL to processes that may be gone already."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
