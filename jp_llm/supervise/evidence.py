"""How a start ended, read from the run folder: what the run says counts before what its launcher returns.

`deepspeed` returns 0 when its launcher was killed and `torchrun` returns 1 for every failure, so a return code proves
little. What a file says counts only if it was written since the start; clocks of other machines are not asked.
"""

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jp_llm.runtime.commands import SCRIPT
from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.host import boot_id, host_name, pid_namespace
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise.orders import is_of_a_person
from jp_llm.supervise.policy import Ending, Order
from jp_llm.watch.heartbeat import beat_path

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
"""What the reason of a stop by the file KILL says in status.json."""
FOLDER_IS_HELD = "another run is working in this folder"
"""What `locked` says of a folder that somebody holds."""


class Evidence:
    """What a run folder says about the start that began when this was made.

    Args:
        attempt: what the supervisor calls this start; its processes carry it in their heartbeats.
    """

    def __init__(self, folder: RunFolder, attempt: str) -> None:
        self.folder = folder
        self.attempt = attempt
        self._before = {path: _content(path) for path in self._files()}
        self._sizes = {path: _size(path) for path in (folder.events, folder.metrics)}
        self._killed: set[Any] = set()

    def ending(self, code: int, num_steps: int, *, order: Order = Order.NOBODY) -> Ending:
        """All that is known now that the launcher returned `code`; `order` is the supervisor's own."""
        status, beats = self.status(), list(self.heartbeats())
        cause, witness = self._cause(code, num_steps, status, beats)
        reason = str(witness.get("reason") or "")
        if cause is ExitCode.UNEXPECTED:
            reason = "; ".join(filter(None, (reason, _meaning(code))))
        if cause is ExitCode.SAVED:
            by_person = KILL_REASON in reason and is_of_a_person(self.folder)
            order = Order.PERSON if by_person or order is Order.PERSON else Order.SIGNAL
        is_held = cause is ExitCode.PREFLIGHT_REFUSED and FOLDER_IS_HELD in reason
        host = str(witness.get("host") or "") if cause is not ExitCode.UNEXPECTED or reason else ""
        return Ending(cause, code, self.step_under_way(), reason, host, order, is_held)

    def status(self) -> dict[str, Any]:
        """status.json of this start; empty if it wrote none."""
        status, beat = self._new(self.folder.status), self._new(beat_path(self.folder, 0))
        is_of_another = beat.get("pid") == status.get("pid") and beat.get("attempt") not in (None, "", self.attempt)
        return {} if is_of_another else status

    def heartbeats(self) -> list[dict[str, Any]]:
        """The last heartbeat of every process of this start, as far as it is known which these are."""
        new = [beat for path in sorted(self.folder.heartbeats.glob("rank_*.json")) if (beat := self._new(path))]
        # Some launchers take no variables to other hosts.
        return [beat for beat in new if beat.get("attempt") == self.attempt] or [
            beat for beat in new if not beat.get("attempt")
        ]

    def orphans(self) -> list[int]:
        """Processes of this start, and of no other, that are still there on this machine."""
        return orphans(beat for beat in self.heartbeats() if beat.get("attempt") == self.attempt)

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
        """Global indices of the samples of the step that is under way; none where batches were left out."""
        begun, step = self._begun(), self.step_under_way()
        if begun is None or step is None or self.folder.interventions.exists():
            return range(0)
        size = int(begun["global_batch_size"])
        first = int(begun["consumed_samples"]) + (step - int(begun["step"]) - 1) * size
        return range(first, first + size)

    def about_to_kill(self) -> None:
        """What is not known to have ended by now does not end for a reason of its own."""
        self._killed = {beat.get("rank") for beat in self.heartbeats() if not _is_gone(beat)}

    def failed(self) -> list[str]:
        """Processes that have failed, or that are no longer there although they did not say that they would go."""
        return [
            f"process {beat.get('rank')} on {beat.get('host')}"
            for beat in self.heartbeats()
            if (beat.get("state") == "ended" and beat.get("code") not in (ExitCode.DONE, ExitCode.SAVED))
            or (beat.get("state") == "running" and _is_gone(beat))
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
                ended += _silent(beat for beat in beats if beat.get("rank") not in self._killed)
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


def orphans(heartbeats: Iterable[dict[str, Any]]) -> list[int]:
    """Of processes whose launcher is gone, those that are still there on this machine."""
    return [beat["pid"] for beat in heartbeats if _is_here(beat) and _is_training(beat.get("pid"))]


def _is_here(beat: dict[str, Any]) -> bool:
    """Whether its process number means something to this process: the same machine, and the same container."""
    known = {"boot": boot_id(), "namespace": pid_namespace()}
    return beat.get("host") == host_name() and all(beat.get(name) in (None, value) for name, value in known.items())


def _is_gone(beat: dict[str, Any]) -> bool:
    """Whether the process is known to have ended."""
    if not _is_here(beat):
        return False
    try:
        # The name of a program may hold spaces and brackets; what follows it may not.
        state = Path(f"/proc/{int(beat['pid'])}/stat").read_bytes().rpartition(b")")[2].split()[0]
        words = Path(f"/proc/{int(beat['pid'])}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (OSError, ValueError, TypeError, LookupError):
        return False
    # A busy machine may not be able to say the words of a process that is there.
    return state in b"ZX" or (bool(words) and not _has_script(words))


def _is_training(pid: Any) -> bool:
    # The number may belong to somebody else by now.
    try:
        return _has_script(Path(f"/proc/{int(pid)}/cmdline").read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _has_script(words: bytes) -> bool:
    return any(word.endswith(SCRIPT.encode()) for word in words.split(b"\0"))


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
