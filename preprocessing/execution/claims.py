"""Claims on tasks in a folder that all workers see, on one machine or several: who makes the file has the task.

The file names its maker and its time of change is renewed as long as the maker lives. A claim whose maker is dead (seen
at once on the same machine) or silent for long is taken over.
"""

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

STALE_SECONDS = 120.0
_BEAT_SECONDS = 10.0


class Claims:
    """The claims of this process, and a thread that keeps them fresh."""

    def __init__(self, folder: Path, stale_seconds: float = STALE_SECONDS, beat_seconds: float = _BEAT_SECONDS) -> None:
        self._folder = folder
        self._stale_seconds = stale_seconds
        self._beat_seconds = beat_seconds
        self._maker = _maker() | {"token": secrets.token_hex(8)}
        self._content = json.dumps(self._maker).encode()
        self._mine: set[Path] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="claims", daemon=True)

    def __enter__(self) -> "Claims":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        self._thread.join()
        for path in sorted(self._mine):
            self._unlink(path)
        self._clock.unlink(missing_ok=True)

    @property
    def spread(self) -> float:
        """A number from 0 to 1, another one for every process."""
        return int(self._maker["token"], 16) / 2.0**64

    def take(self, name: str) -> bool:
        """Claim `name`, which may stand in a folder; False if a living process has it."""
        path = self._folder / name
        if self._create(path):
            return True
        seen = self._stale(path)
        return seen is not None and self._remove(path, seen) and self._create(path)

    def release(self, name: str) -> None:
        """Give it back."""
        path = self._folder / name
        self._mine.discard(path)
        self._unlink(path)

    def _unlink(self, path: Path) -> None:
        """Remove a claim of this process, unless another one has taken it over meanwhile."""
        with suppress(FileNotFoundError):
            if path.read_bytes() == self._content:
                path.unlink()

    def _create(self, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _write_new(path, self._content):
            return False
        self._mine.add(path)
        return True

    def _stale(self, path: Path) -> bytes | None:
        """What stands in a claim that is nobody's any more."""
        try:
            seen, changed = path.read_bytes(), path.stat().st_mtime
        except FileNotFoundError:
            return None
        # By the clock of the disk: those of two machines differ.
        return seen if _is_dead(seen) or self._now() - changed > self._stale_seconds else None

    def _remove(self, path: Path, seen: bytes) -> bool:
        """Remove the claim `seen`, and no other that has taken its place meanwhile."""
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return False  # others do the same
        found = aside.read_bytes()
        if found != seen:
            _write_new(path, found)  # a link would not do: some disks have none
        aside.unlink()
        return found == seen

    def _now(self) -> float:
        self._clock.touch()
        return self._clock.stat().st_mtime

    @property
    def _clock(self) -> Path:
        return self._folder / f".clock.{self._maker['token']}.tmp"

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            for path in list(self._mine):
                with suppress(OSError):
                    os.utime(path)


def _write_new(path: Path, content: bytes) -> bool:
    """False if the file exists."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)  # a claim that names nobody would hold up the others
        raise
    return True


def _maker() -> dict[str, Any]:
    return {"host": _host(), "process": os.getpid(), "started": _start_of(os.getpid()), "time": time.time()}


def _host() -> str:
    """This machine; containers of the same name have process numbers of their own."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _start_of(process: int) -> str | None:
    """When a process began, in ticks (proc(5), field 22): numbers of processes are used again. None: unknown."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _is_dead(claim: bytes) -> bool:
    """Whether it is certain that the maker has ended: only on its own machine."""
    try:
        maker = json.loads(claim)
    except ValueError:
        return False  # half written
    if maker["host"] != _host():
        return False
    try:
        os.kill(maker["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(maker["started"] is not None and _start_of(maker["process"]) != maker["started"])
