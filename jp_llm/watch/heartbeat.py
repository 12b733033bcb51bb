"""The heartbeat of one process: a file that says what it is doing, for whoever watches it from outside."""

import faulthandler
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError, code_of, reason_of
from jp_llm.runtime.files import atomic_writer, read_json
from jp_llm.runtime.host import boot_id, host_name, pid_namespace
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.process import age, started_at

DUMP_SIGNAL = signal.SIGURG
"""Makes a process write its stacks. Who has no handler ignores this signal, and neither NCCL, CUDA nor any launcher
uses it."""

PATIENCE_SECONDS = 30.0
"""For a process of an earlier start that is about to end."""
ATTEMPT_VARIABLE = "PYTHON_JP_LLM_ATTEMPT"
"""What a supervisor calls its start. Of its name because `deepspeed` takes what begins with PYTHON to other hosts."""

ALARM, VERDICT = "alarm.json", "verdict.json"
"""In a folder of `stacks`: something is wrong, write your stacks; what it was, leave."""


@dataclass(frozen=True)
class Beat:
    """One heartbeat. Times are Unix seconds by the clock of that host."""

    rank: int
    host: str
    boot: str
    """Of the kernel: hosts may have the same name."""
    pid: int
    namespace: int
    """In which `pid` counts (pid_namespaces(7)): processes of one host in several containers do not see each other."""
    process: str
    """When the process started, and something random: process numbers come again."""
    step: int
    phase: str
    first: bool
    """Whether this is the first step since the start."""
    since: float
    """When the phase began."""
    time: float
    state: str
    """`running` or `ended`."""
    code: int | None = None
    """Exit code, of an ended process."""
    reason: str = ""
    attempt: str = ""
    """The start of a supervisor that the process belongs to; empty if nobody supervises it."""


def beat_path(folder: RunFolder, rank: int) -> Path:
    """Where a process writes its heartbeat."""
    return folder.heartbeats / f"rank_{rank:05d}.json"


def raw_stacks_path(folder: RunFolder, rank: int) -> Path:
    """Where a process writes its stacks when it is told to."""
    return folder.heartbeats / f"rank_{rank:05d}.stacks"


def read_beat(folder: RunFolder, rank: int) -> Beat | None:
    """The newest heartbeat of a process; None if there is none that can be read."""
    try:
        return Beat(**read_json(beat_path(folder, rank)))
    except (OSError, ValueError, TypeError):
        return None


def alarm_of(folder: RunFolder, processes: Collection[str]) -> Path | None:
    """The folder of an alarm that concerns one of these processes."""
    with suppress(OSError):
        for found in folder.stacks.iterdir():
            # Half a file is one that is being written: the next look will find it whole.
            with suppress(OSError, ValueError, LookupError, TypeError):
                if not _concerned(found).isdisjoint(processes):
                    return found
    return None


@cache
def _concerned(alarm: Path) -> frozenset[str]:
    # Written once; those of earlier nights need not be read again at every heartbeat.
    return frozenset(read_json(alarm / ALARM)["processes"])


def earlier_beats(folder: RunFolder, size: int) -> dict[int, float]:
    """`Beat.time` of the heartbeats that may be left over from an earlier start, by rank."""
    began = time.time() - age()
    found = {}
    for rank in range(size):
        beat = read_beat(folder, rank)
        # Another process of this machine may have been faster. Clocks of other machines prove nothing.
        if beat is not None and (beat.boot != boot_id() or beat.time < began):
            found[rank] = beat.time
    return found


class Pulse:
    """Says what this process is doing, to whoever watches it from outside. Begins to beat when it is entered.

    Entering raises `UserError` if the run folder cannot be written, or a process of another run goes on beating under
    this rank (exit code 1); the files of that one are left alone. The first process of a node also starts the watcher
    of that node. A process that a verdict tells to leave does so at its next beat, with `ExitCode.HUNG`.
    """

    def __init__(self, folder: RunFolder, world: World, settings: WatchdogConfig) -> None:
        self.folder = folder
        self.world = world
        self.settings = settings
        self.process = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
        self._now: tuple[str, int, float] = ("start", 0, time.time())
        self._first_step: int | None = None
        self._ended: tuple[int, str] | None = None
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._is_taken(PATIENCE_SECONDS):
            raise UserError(
                f"{self.folder.path}: another run is working in this folder; wait for it, or stop it",
                code=ExitCode.UNEXPECTED,
            )
        try:
            self.folder.heartbeats.mkdir(parents=True, exist_ok=True)
            # Opened now: what a handler of a signal may do is to write.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            stacks = os.open(raw_stacks_path(self.folder, self.world.rank), flags, 0o644)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}; choose another run_dir"
            raise UserError(problem, code=code_of(error)) from error
        os.write(stacks, f"main thread 0x{threading.main_thread().ident or 0:016x}\n".encode())
        faulthandler.register(DUMP_SIGNAL, file=stacks, all_threads=True, chain=False)
        if self.settings.enabled and self.world.local_rank == 0:
            self._watcher = self._start_watcher()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.close(code_of(error), reason_of(error))

    def refuse(self, error: UserError) -> None:
        """Instead of entering: one last heartbeat, of a process that will not begin."""
        if not self._is_taken():
            self._ended = (error.code, reason_of(error))
            self._now = ("end", 0, time.time())
            self._beat()

    def at(self, phase: str, step: int) -> None:
        """From now on this process is in `phase` (start, data, step, evaluate, sample, save) of `step`."""
        if self._first_step is None and phase == "data":
            self._first_step = step
        has_started = self._now[0] == "start" != phase
        self._now = (phase, step, time.time())
        if has_started:
            # Silence is allowed for long during the start; the watcher learns at once that it is over.
            self._wake.set()

    def close(self, code: int = ExitCode.DONE, reason: str = "") -> None:
        """The process is about to end with this exit code; the first call counts.

        If it was told to leave in the meantime, it does so here: what it fails of is that others have left already.
        """
        if self._thread is None or self._ended is not None:
            return
        self._ended = (int(code), reason)
        self._now = ("end", self._now[1], time.time())
        if code not in (ExitCode.DONE, ExitCode.SAVED):
            self._follow_verdict(patience=3 * (self.settings.grace_seconds + self.settings.beat_seconds))
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._beat()
        # The handler stays, and so does its file: a process may stand still on its way out, too.
        if self._watcher is not None and self._watcher.stdin is not None:
            # It sees the end of its input and looks whether anybody is left.
            self._watcher.stdin.close()
            self._watcher.returncode = 0  # not to be waited for, and no reason to warn

    def _run(self) -> None:
        while True:
            self._wake.wait(self.settings.beat_seconds)
            self._wake.clear()
            if self._closing.is_set():
                return
            self._beat()
            self._follow_verdict()

    def _is_taken(self, patience: float = 0.0) -> bool:
        """Whether a process of another run beats under this rank, also after so many seconds."""
        deadline = time.monotonic() + patience
        while self._is_beating(read_beat(self.folder, self.world.rank)):
            if time.monotonic() >= deadline:
                return True
            time.sleep(0.2)
        return False

    def _is_beating(self, beat: Beat | None) -> bool:
        if beat is None or beat.state != "running":
            return False
        if (beat.host, beat.namespace) == (host_name(), pid_namespace()):
            # What started after its own heartbeat is somebody else under an old number.
            began = started_at(beat.pid)
            return beat.pid != os.getpid() and began is not None and began < beat.time
        # Out of sight; what lives writes again.
        deadline = time.monotonic() + 2 * self.settings.beat_seconds + 1
        while time.monotonic() < deadline:
            time.sleep(min(0.2, self.settings.beat_seconds))
            if read_beat(self.folder, self.world.rank) not in (None, beat):
                return True
        return False

    def _beat(self) -> None:
        phase, step, since = self._now
        code, reason = self._ended or (None, "")
        beat = Beat(
            rank=self.world.rank,
            host=host_name(),
            boot=boot_id(),
            pid=os.getpid(),
            namespace=pid_namespace(),
            process=self.process,
            step=step,
            phase=phase,
            first=phase in ("data", "step") and step == self._first_step,
            since=round(since, 3),
            time=round(time.time(), 3),
            state="running" if self._ended is None else "ended",
            code=code,
            reason=reason,
            attempt=os.environ.get(ATTEMPT_VARIABLE, ""),
        )
        # A disk that is full or away for a moment must not end a run; the watcher notices that it cannot write either.
        with suppress(OSError), atomic_writer(beat_path(self.folder, self.world.rank), durable=False) as file:
            file.write(json.dumps(asdict(beat), ensure_ascii=False).encode())

    def _follow_verdict(self, patience: float = 0.0) -> None:
        """Leave if a verdict says so; wait for it so many seconds if there is an alarm."""
        found = alarm_of(self.folder, [self.process])
        if found is None:
            return
        deadline = time.monotonic() + patience
        while not (found / VERDICT).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        if (found / VERDICT).exists() or patience:
            self._ended = (ExitCode.HUNG, f"ended by the watchdog, see {found}")
            self._beat()
            os._exit(ExitCode.HUNG)

    def _start_watcher(self) -> subprocess.Popen[bytes]:
        world = self.world
        order: dict[str, Any] = {
            "run_dir": str(self.folder.path.resolve()),
            "rank": world.rank,
            "size": world.size,
            "local_size": world.local_size or world.size,
            "settings": self.settings.model_dump(),
            "before": earlier_beats(self.folder, world.size),
        }
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        watcher = subprocess.Popen(
            [sys.executable, "-m", "jp_llm.watch.watcher", order["run_dir"]],
            stdin=subprocess.PIPE,
            # Its own session: what is sent to the processes of a job or of a terminal is not meant for it.
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        )
        assert watcher.stdin is not None
        watcher.stdin.write((json.dumps(order) + "\n").encode())
        watcher.stdin.flush()
        return watcher
