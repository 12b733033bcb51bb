"""How a start ended, read from the run folder: what the run says counts before what its launcher returns.

`deepspeed` returns 0 when its launcher was killed and `torchrun` returns 1 for every failure, so a return code proves
little. What a file says counts only if it was written since the start; clocks of other machines are not asked.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.host import boot_id, host_name, pid_namespace
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
        self._sizes = {path: _size(path) for path in (folder.events, folder.metrics)}
        self._killed: set[int] = set()

    def ending(self, code: int, num_steps: int, *, order: Order = Order.NOBODY) -> Ending:
        """All that is known now that the launcher returned `code`; `order` is the supervisor's own."""
        status, beats = self.status(), list(self.heartbeats())
        cause, witness = self._cause(code, num_steps, status, beats)
        reason = str(witness.get("reason") or "")
        if cause is ExitCode.UNEXPECTED:
            reason = "; ".join(filter(None, (reason, _meaning(code))))
        if cause is ExitCode.SAVED and order is Order.NOBODY:
            order = Order.PERSON if reason.startswith(KILL_REASON) else Order.SIGNAL
        host = str(witness.get("host") or "") if cause is not ExitCode.UNEXPECTED or reason else ""
        return Ending(cause, code, self.step_under_way(), reason, host, order)

    def status(self) -> dict[str, Any]:
        """status.json of this start; empty if it wrote none."""
        return self._new(self.folder.status)

    def heartbeats(self) -> Iterator[dict[str, Any]]:
        """The last heartbeat of every process of this start."""
        for path in sorted(self.folder.heartbeats.glob("rank_*.json")):
            if beat := self._new(path):
                yield beat

    def step_under_way(self) -> int | None:
        """The step of the process that is furthest; None if training has not begun."""
        begun, status = self._begun(), self.status()
        is_over = status.get("state") in ("done", "saved")
        if begun is None:
            return int(status.get("step", 0)) if is_over else None
        finished = [int(record["step"]) for record in self._lines(self.folder.metrics) if "step" in record]
        finished += [int(begun["step"]), int(status.get("step", 0))]
        beats = [int(beat.get("step", 0)) for beat in self.heartbeats()]
        return max(max(finished) + (not is_over), *beats, 0)

    def samples(self) -> range:
        """Global indices of the samples of the step that is under way, where no batch was left out before it."""
        begun, step = self._begun(), self.step_under_way()
        if begun is None or step is None:
            return range(0)
        size = int(begun["global_batch_size"])
        first = int(begun["consumed_samples"]) + (step - int(begun["step"]) - 1) * size
        return range(first, first + size)

    def about_to_kill(self) -> None:
        """What is still there now does not end for a reason of its own."""
        self._killed = {int(beat["pid"]) for beat in self.heartbeats() if _is_here(beat) and _is_training(beat["pid"])}

    def failed(self) -> list[str]:
        """Processes that have failed, or that are no longer there although they did not say that they would go."""
        return [
            f"process {beat.get('rank')} on {beat.get('host')}"
            for beat in self.heartbeats()
            if (beat.get("state") == "ended" and beat.get("code") not in (ExitCode.DONE, ExitCode.SAVED))
            or (beat.get("state") == "running" and _is_here(beat) and not _is_training(beat.get("pid")))
        ]

    def _begun(self) -> dict[str, Any] | None:
        """The event with which training began."""
        events = self._lines(self.folder.events)
        return next((event for event in events if event.get("event") in ("start", "resume")), None)

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
            if cause is ExitCode.UNEXPECTED:
                ended += _silent(beat for beat in beats if beat.get("pid") not in self._killed)
            if ended:
                # What others say later is mostly that somebody has left.
                return cause, min(ended, key=lambda witness: (not witness.get("reason"), witness.get("time", 0.0)))
            if code == cause and cause is not ExitCode.UNEXPECTED:
                return cause, {}
        return ExitCode.UNEXPECTED, {}

    def _files(self) -> list[Path]:
        return [self.folder.status, *self.folder.heartbeats.glob("rank_*.json")]

    def _lines(self, path: Path) -> list[dict[str, Any]]:
        """Lines that were added since the start."""
        if _size(path) <= self._sizes[path]:
            return []
        return [line for line in read_json_lines(path, start=self._sizes[path]) if isinstance(line, dict)]

    def _new(self, path: Path) -> dict[str, Any]:
        content = _content(path)
        if content is None or content == self._before.get(path):
            return {}
        try:
            value = read_json(path)
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def _silent(beats: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The processes that ended without a word, as SIGKILL ends them, with that as their reason."""
    return [
        beat | {"reason": f"process {beat.get('rank')} on {beat.get('host')} ended without a word"}
        for beat in beats
        if beat.get("state") == "running"
    ]


def done_step(folder: RunFolder) -> int:
    """The step that DONE names; 0 without DONE."""
    try:
        return int(read_json(folder.done)["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def orphans(heartbeats: Iterator[dict[str, Any]]) -> list[int]:
    """Processes of a run on this machine that are still there, although their launcher is not."""
    return [beat["pid"] for beat in heartbeats if _is_here(beat) and _is_training(beat.get("pid"))]


def _is_here(beat: dict[str, Any]) -> bool:
    """Whether its process number means something to this process: the same machine, and the same container."""
    known = {"boot": boot_id(), "namespace": pid_namespace()}
    return beat.get("host") == host_name() and all(beat.get(name) in (None, value) for name, value in known.items())


def _is_training(pid: Any) -> bool:
    # The number may belong to somebody else by now.
    try:
        words = Path(f"/proc/{int(pid)}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, TypeError):
        return False
    return any(word.endswith(TRAINING_SCRIPT.encode()) for word in words)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


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
