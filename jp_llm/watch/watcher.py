"""The watcher of one node, a process of its own: judges heartbeats from outside, and ends a run that stands still.

Started by `jp_llm.watch.heartbeat.Pulse`. It ends by itself as soon as no process of its node is left.
"""

import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import append_json_line, atomic_writer, read_json, write_json
from jp_llm.runtime.host import boot_id, host_name, pid_namespace
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.dump import DUMP_SECONDS, ask, collect, let_go, read_stacks, stacks_path
from jp_llm.watch.heartbeat import ALARM, VERDICT, Beat, alarm_of, read_beat
from jp_llm.watch.process import Condition, condition_of, started
from jp_llm.watch.record import Record
from jp_llm.watch.verdict import Kind, Seen, Verdict, trouble, verdict

LOOK_SECONDS = 1.0
"""Between two looks at the processes of this node, at most; heartbeats are read every `beat_seconds`."""
LAST_LOOK_SECONDS = 0.1
"""The same, once the first process of the node is gone."""
FAR_PATIENCE = 1.5
"""A watcher that does not see all processes waits so much longer for a late one: the watcher of process 0, which sees
all, speaks first."""


class Watcher:
    """Watches all processes where process 0 runs, else those of its node.

    Args:
        rank: of the process that started it, the first of the node.
        size: processes of the run.
        local_size: processes of this node.
        before: `Beat.time` of the heartbeats that were there when this start of the run began, by rank.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: WatchdogConfig,
        *,
        rank: int,
        size: int,
        local_size: int,
        before: Mapping[int, float],
    ) -> None:
        self.folder, self.settings = folder, settings
        self.rank, self.size, self.local_size = rank, size, local_size
        self.host, self._place = host_name(), (host_name(), boot_id(), pid_namespace())
        self._record = Record(range(size), before, loyalty=settings.silence_seconds / 2)
        self._started: dict[str, int] = {}
        self._look_seconds = min(LOOK_SECONDS, settings.beat_seconds / 2)
        self._next_reading = 0.0
        self._writable = True
        self._orphaned = False
        self._told_of_death = False
        self._alarm: Path | None = None

    def run(self) -> None:
        """Watch until no process of this node is left, or something is wrong and all have been ended."""
        before, parent_left, alone = time.monotonic(), 0.0, 0.0
        while True:
            self._sleep()
            now = time.monotonic()
            passed, before = now - before, now
            self._look(passed)
            seen = self._record.seen()
            here = self._here(seen)
            if here and all(each.condition == "gone" for each in here):
                return
            if here and not self._is_there(self.rank):
                parent_left += passed
                if parent_left > self.settings.silence_seconds + 3 * self.settings.grace_seconds:
                    return  # what is left belongs to somebody else
            if self._orphaned and not here:
                alone += passed
                if alone > self.settings.silence_seconds:
                    return  # nobody of this node ever showed up
            self._tell_of_death(seen)
            if self._alarm is not None:
                self._end(self._alarm, None)
                return
            patience = 1.0 if self._sees_all else FAR_PATIENCE
            if trouble(self._in_view(seen), self.settings, patience):
                self._read(range(self.size))
                seen = self._record.seen()
                found = trouble(seen, self.settings, patience)
                if found and (alarm := self._raise(seen)):
                    self._end(alarm, found)
                    return

    @property
    def _sees_all(self) -> bool:
        return self.rank == 0

    def _here(self, seen: list[Seen]) -> list[Seen]:
        return [
            each
            for each in seen
            if each.beat is not None and (each.beat.host, each.beat.boot, each.beat.namespace) == self._place
        ]

    def _in_view(self, seen: list[Seen]) -> list[Seen]:
        return seen if self._sees_all else self._here(seen)

    def _is_there(self, rank: int) -> bool:
        return self._record.seen()[rank].condition != "gone"

    def _sleep(self) -> None:
        # Readable means at its end: the process that started us is gone, or about to be.
        if select.select([sys.stdin], [], [], self._look_seconds)[0]:
            self._orphaned = True
            time.sleep(LAST_LOOK_SECONDS)

    def _look(self, passed: float) -> None:
        """Read what is due, and let the clock go on if that was possible."""
        here = self._here(self._record.seen())
        for each in here:
            assert each.beat is not None
            process = each.beat.process
            if process not in self._started:
                # It may be gone already; no process starts at the first tick.
                self._started[process] = started(each.beat.pid) or 0
            condition = self._condition(each)
            if condition == "gone" != each.condition:
                # It may have said goodbye since the last reading.
                self._read([each.rank])
            self._record.condition(each.rank, condition)
        left = [each for each in self._here(self._record.seen()) if each.is_left]
        # All of a node are stopped by a person or a scheduler, who will let them go on.
        suspended = bool(left) and all(each.condition == "stopped" for each in left)
        now = time.monotonic()
        if now >= self._next_reading:
            self._next_reading = now + self.settings.beat_seconds
            everybody = self._sees_all or len(here) < self.local_size
            self._read(range(self.size) if everybody else [each.rank for each in here])
            self._alarm = alarm_of(self.folder, [each.beat.process for each in here if each.beat is not None])
            self._writable = self._can_write()
        # What waits for a slow disk, or finds it full, knows nothing of who else does.
        if self._writable and not suspended:
            self._record.advance(passed, 2 * self._look_seconds)

    def _condition(self, each: Seen) -> Condition:
        since = None if each.beat is None else self._started.get(each.beat.process)
        return "remote" if each.beat is None or since is None else condition_of(each.beat.pid, since)

    def _read(self, ranks: range | list[int]) -> None:
        for rank in ranks:
            self._record.beat(rank, read_beat(self.folder, rank))

    def _can_write(self) -> bool:
        try:
            # As the processes write theirs: what needs less of a disk may still succeed.
            with atomic_writer(self.folder.heartbeats / f"watcher_{self.host}", durable=False) as file:
                file.write(f"{os.getpid()} {time.time():.0f}\n".encode())
        except OSError:
            return False
        return True

    def _tell_of_death(self, seen: list[Seen]) -> None:
        """Once: who died first, unless it was all of them together."""
        gone = [each for each in self._here(seen) if each.condition == "gone" and not each.ended_well]
        if not gone or self._told_of_death:
            return
        self._told_of_death = True
        after_another = any(each.failed and each.lasting > 2 * self._look_seconds for each in seen)
        dead = [each for each in gone if not each.failed]
        if after_another or len(gone) == len(self._in_view(seen)):
            return
        for each in dead:
            assert each.beat is not None
            self._event("died", rank=each.rank, host=self.host, pid=each.beat.pid, step=each.beat.step)
            _say(
                f"rank {each.rank} on host {self.host} (pid {each.beat.pid}) is gone without a word (killed, or out of "
                f"memory); it was in {each.beat.phase} of step {each.beat.step}"
            )

    def _raise(self, seen: list[Seen]) -> Path | None:
        """The folder of the alarm; None if somebody was faster."""
        # One name for all watchers: exactly one of them makes the file.
        processes = [each.beat.process for each in seen if each.beat is not None]
        if not processes:
            return None
        found = self.folder.stacks / processes[0]
        words = {"host": self.host, "time": time.time(), "processes": processes}
        temporary = found / f"{ALARM}.{self.host}.{os.getpid()}"
        try:
            # Whole or not at all: half an alarm would keep everybody from raising another.
            write_json(temporary, words)
            _name(temporary, found / ALARM)
        except OSError:
            # Somebody was faster, or the disk is full.
            return None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return found

    def _end(self, alarm: Path, found: Mapping[int, Kind] | None) -> None:
        """Have the stacks written, say what is wrong if this watcher found it, and end every process of this node."""
        seen = self._record.seen()
        # What was written is read at the next heartbeat.
        grace = self.settings.grace_seconds + self.settings.beat_seconds
        alive = {each.rank for each in self._alive(seen)}
        for each in self._here(seen):
            if each.rank in alive:
                ask(self.folder, each)
        collect(self.folder, alarm, self._here(seen))
        if found is not None:
            expected = [each for each in seen if each.beat is not None]
            _wait(lambda: all(stacks_path(alarm, each.rank).exists() for each in expected), grace + DUMP_SECONDS)
            self._pronounce(
                alarm, seen, verdict(seen, found, read_stacks(alarm, [each.rank for each in seen]), self.settings)
            )
        else:
            _wait((alarm / VERDICT).exists, 3 * grace)
        # The stopped last: until the others have left it would train on with them.
        _wait(lambda: all(each.condition == "stopped" for each in self._alive(seen)), grace)
        let_go(self._alive(seen))
        _wait(lambda: not self._alive(seen), grace)
        for each in self._alive(seen):
            assert each.beat is not None
            with suppress(ProcessLookupError):
                os.kill(each.beat.pid, signal.SIGKILL)
        if any(each.rank == 0 for each in self._here(seen)):
            # Again: what process 0 wrote on its way out is not the cause.
            _wait(lambda: not self._alive(seen), grace)
            with suppress(OSError, ValueError, KeyError):
                self._write_status(read_json(alarm / VERDICT), seen)

    def _alive(self, seen: list[Seen]) -> list[Seen]:
        return [each for each in self._here(seen) if self._condition(each) in ("running", "stopped")]

    def _pronounce(self, alarm: Path, seen: list[Seen], found: Verdict) -> None:
        culprits = [_described(each) for each in found.culprits]
        stacks = str(alarm.relative_to(self.folder.path))
        code = _code_of(found)
        self._event("hang", kind=found.kind, code=code, culprits=culprits, words=found.words, stacks=stacks)
        whole = {
            "kind": found.kind,
            "code": code,
            "time": round(time.time(), 3),
            "words": found.words,
            "culprits": culprits,
            "all": [_described(e) for e in seen],
        }
        self._write_status(whole, seen)
        _say(*found.words, f"stacks of all processes: {alarm}; the run ends with exit code {code}")
        # On a full disk nobody leaves by himself.
        with suppress(OSError):
            write_json(alarm / VERDICT, whole)

    def _event(self, event: str, **details: Any) -> None:
        with suppress(OSError):
            append_json_line(self.folder.events, {"event": event, "time": round(time.time(), 3), **details})

    def _write_status(self, whole: Mapping[str, Any], seen: list[Seen]) -> None:
        """With the time and the host of the verdict: what the processes say of their end comes later and says less."""
        witness = whole["culprits"][0] if len(whole["culprits"]) < len(seen) else _described(seen[0])
        status = {
            "state": "failed",
            "code": whole["code"],
            "step": max(_finished(each.beat) for each in seen if each.beat is not None),
            "reason": "; ".join(whole["words"]),
            "host": witness["host"] or self.host,
            "pid": witness["pid"] or os.getpid(),
            "time": whole["time"],
        }
        with suppress(OSError):
            write_json(self.folder.status, status)


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name; FileExistsError if there is one of that name."""
    try:
        os.link(temporary, path)
    except OSError as error:
        # Some file systems (FUSE, exFAT) have no links.
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        if path.exists():
            raise FileExistsError(path) from error
        temporary.rename(path)


def _finished(beat: Beat) -> int:
    """The last step that a process has behind it."""
    return max(0, beat.step - (beat.phase in ("data", "step", "end")))


def _code_of(found: Verdict) -> int:
    """How the run ended: a process that knew better why, and was waited for, has the last word."""
    for each in found.culprits:
        if each.failed and each.beat is not None and each.beat.code not in (None, ExitCode.UNEXPECTED):
            return each.beat.code
    return int(ExitCode.HUNG)


def _described(each: Seen) -> dict[str, Any]:
    beat = each.beat
    return {
        "rank": each.rank,
        "host": beat.host if beat else None,
        "pid": beat.pid if beat else None,
        "step": beat.step if beat else None,
        "phase": beat.phase if beat else None,
        "since": beat.since if beat else None,
        "silent_seconds": round(each.silent, 1),
        "phase_seconds": round(each.lasting, 1),
        "condition": each.condition,
    }


def _wait(happened: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.1)


def _say(*lines: str) -> None:
    # Nobody may be left to read it.
    with suppress(OSError):
        sys.stderr.write("".join(f"watchdog: {line}\n" for line in lines))
        sys.stderr.flush()


def main() -> None:
    """Watch as one line of JSON on standard input says, whose end is the end of the process that wrote it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    settings = WatchdogConfig.model_validate(order["settings"])
    Watcher(
        RunFolder(Path(order["run_dir"])),
        settings,
        rank=order["rank"],
        size=order["size"],
        local_size=order["local_size"],
        before={int(rank): when for rank, when in order["before"].items()},
    ).run()


if __name__ == "__main__":
    main()
