"""Look after one run: start its launcher, see how it ends, start it again or stop with words."""

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from jp_llm.config import app
from jp_llm.config.run import RunConfig
from jp_llm.runtime.commands import safe_command
from jp_llm.runtime.errors import ExitCode, UserError, config_error
from jp_llm.runtime.files import append_json_line
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise import command as commands
from jp_llm.supervise import slurm
from jp_llm.supervise.attempt import Attempt
from jp_llm.supervise.command import Command
from jp_llm.supervise.evidence import Evidence, done_step, kill_all, orphans
from jp_llm.supervise.hosts import add_bad_host, bad_hosts, write_hostfile_without
from jp_llm.supervise.policy import Action, Decision, Ending, History, Order, decide

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 5.0
_SAME_SIGNAL_SECONDS = 2.0
_OWN_ORDER = "of the supervisor\n"
_SECONDS_FOR_ORPHANS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)


def main(argv: Sequence[str]) -> int:
    """Supervise the launcher command `argv`; the exit code."""
    try:
        command = commands.parse(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    return app.run("train", RunConfig, partial(supervise, command), command.words)


def supervise(command: Command, config: RunConfig) -> ExitCode:
    """Start the command until its run is done, or until starting it again cannot help.

    Raises:
        UserError: the run would not train, or another supervisor looks after it.
    """
    if config.dry_run:
        raise config_error(["dry_run: trains nothing that could be supervised; start launch/train.py itself"])
    folder = RunFolder(Path(config.run_dir))
    if done_step(folder) >= config.train.num_steps:
        print(f"supervise: {folder.done} says that the run is complete; raise train.num_steps to go on")
        return ExitCode.DONE
    with locked(folder.logs):
        _forget_own_order(folder)
        return Supervisor(command, config, folder).run()


def _forget_own_order(folder: RunFolder) -> None:
    """The file KILL of a supervisor that was killed before the run obeyed; that of a person stays."""
    with suppress(FileNotFoundError):
        if folder.kill_order.read_text(errors="replace") == _OWN_ORDER:
            folder.kill_order.unlink()


class Failure:
    """Whether a process has failed for a while, and its launcher, busy with the others, does not notice or end.

    Many launchers ask the others to stop and wait for each of them, which may stand in a collective for ever.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.words = ""
        self._since: float | None = None
        self._looked = time.monotonic()

    def lasts(self, seconds: float) -> bool:
        """Whether it has been known for so long."""
        now = time.monotonic()
        # The folder lies on a shared disk, and there may be thousands of processes.
        if now - self._looked >= min(_LOOK_SECONDS, seconds):
            self._looked = now
            failed = self.evidence.failed()
            self.words = ", ".join(failed[:3]) + (" failed" if failed else "")
            self._since = (self._since or now) if failed else None
        return self._since is not None and now - self._since >= seconds


class Supervisor:
    """One run on its way to its last step."""

    def __init__(self, command: Command, config: RunConfig, folder: RunFolder) -> None:
        self.command = command
        self.config = config
        self.folder = folder
        self.job = slurm.job_of(os.environ)
        self.history = History()
        self.signals = 0
        self._signal_at = -math.inf
        self.stop_deadline = 0.0
        self.bad_before: list[str] = []

    def run(self) -> ExitCode:
        """Until the end; the exit code of the whole."""
        # What nohup made it deaf to stays unheard.
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            while True:
                ending = self._attempt()
                decision, self.history = decide(
                    ending, self.history, self.config.supervise, in_slurm=self.job is not None
                )
                decision = self._carried_out(decision, ending)
                self._say(decision.words)
                if decision.action is not Action.RESTART:
                    return decision.code
                if self._waited(decision.wait_seconds):
                    continue
                stopped = Ending(ExitCode.SAVED, 0, reason="while it waited for a restart", order=Order.SIGNAL)
                decision, _ = decide(stopped, self.history, self.config.supervise, in_slurm=self.job is not None)
                decision = self._carried_out(decision, stopped)
                self._say(decision.words)
                return decision.code
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _attempt(self) -> Ending:
        """Start the launcher and wait for its end; nothing of it is left on this machine afterwards."""
        number = 1 + max(
            (int(path.stem.rpartition("_")[2]) for path in self.folder.logs.glob("start_*.log")), default=0
        )
        log = self.folder.logs / f"start_{number:04d}.log"
        argv = safe_command(self.command.argv)
        evidence = Evidence(self.folder)
        self.bad_before = bad_hosts(self.folder)
        steps_before = slurm.steps(self.job) if self.job else set()
        self._event("attempt", number=number, command=argv, log=str(log))
        started = time.monotonic()
        attempt = Attempt(argv, log)
        code, ordered, failure = None, False, Failure(evidence)
        try:
            while (code := attempt.wait(_POLL_SECONDS)) is None:
                if self.signals and not ordered:
                    ordered = True
                    self._order_stop()
                if self.signals > 1 or (ordered and time.monotonic() > self.stop_deadline):
                    break
                if failure.lasts(self.config.supervise.failed_seconds):
                    self._say(f"killing the launcher, which does not end: {failure.words}")
                    break
        finally:
            if code is None:
                evidence.about_to_kill()
            code = attempt.end()
        if self.job:
            slurm.end_steps(sorted(slurm.steps(self.job) - steps_before))
        self._end_orphans(evidence)
        if ordered:
            # Obeyed or not: the next start must not find it.
            self.folder.kill_order.unlink(missing_ok=True)
        order = Order.SIGNAL if self.signals else Order.NOBODY
        ending = evidence.ending(code, self.config.train.num_steps, order=order)
        ending = self._with_samples(ending, evidence)
        seconds = round(time.monotonic() - started, 3)
        self._event("attempt_end", number=number, seconds=seconds, **asdict(ending))
        return ending

    def _order_stop(self) -> None:
        seconds = self.config.supervise.stop_seconds
        self._say(f"saving and stopping; a second signal ends the run at once, at the latest it ends in {seconds:g} s")
        self.folder.kill_order.write_text(_OWN_ORDER)
        self.stop_deadline = time.monotonic() + seconds

    def _end_orphans(self, evidence: Evidence) -> None:
        """Processes that a daemon (sshd, slurmstepd) started for the launcher are not among its descendants."""
        deadline = time.monotonic() + _SECONDS_FOR_ORPHANS
        while (left := orphans(evidence.heartbeats())) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if left:
            self._say(f"killing processes that outlived their launcher: {', '.join(map(str, left))}")
            kill_all(left)

    @staticmethod
    def _with_samples(ending: Ending, evidence: Evidence) -> Ending:
        """For a death at a step, the samples of that step."""
        samples = evidence.samples()
        if not samples or ending.cause in (ExitCode.DONE, ExitCode.SAVED):
            return ending
        reason = f"{ending.reason or 'no reason given'} (samples {samples.start} to {samples.stop - 1})"
        return replace(ending, reason=reason)

    def _carried_out(self, decision: Decision, ending: Ending) -> Decision:
        """Everything but waiting and starting again; what is left to do."""
        if decision.action in (Action.RESTART_ELSEWHERE, Action.REQUEUE_ELSEWHERE):
            decision = self._elsewhere(decision, ending)
        if decision.action in (Action.REQUEUE, Action.REQUEUE_ELSEWHERE):
            assert self.job is not None
            self._event("requeue", job=self.job, without=bad_hosts(self.folder))
            problem = slurm.requeue(self.job, bad_hosts(self.folder))
            words = f"{decision.words}; {problem}" if problem else decision.words
            return Decision(Action.STOP, decision.code, words)
        return decision

    def _elsewhere(self, decision: Decision, ending: Ending) -> Decision:
        """Leave out the hosts that failed."""
        if ending.cause is ExitCode.RERUN_ELSEWHERE:
            # All processes end alike, and only the comparison knows whom it was about, if it does.
            hosts = [host for host in bad_hosts(self.folder) if host not in self.bad_before]
        else:
            hosts = [ending.host] if ending.host else []
        if not hosts:
            return Decision(Action.STOP, decision.code, f"{decision.words}; which host is to be left out is not known")
        for host in hosts:
            add_bad_host(self.folder, host)
        if decision.action is Action.REQUEUE_ELSEWHERE:
            return decision
        words = f"{decision.words}; {', '.join(hosts)} is in {self.folder.bad_hosts}"
        if self.command.hostfile is None:
            return Decision(Action.STOP, decision.code, f"{words}; start the run without it")
        target = self.folder.logs / "hostfile"
        lost, left = write_hostfile_without(bad_hosts(self.folder), self.command.hostfile, target)
        if not lost or not left:
            missing = "no host would be left" if lost else f"{self.command.hostfile} has no host of this name"
            return Decision(Action.STOP, decision.code, f"{words}; {missing}; start the run without it")
        self.command = self.command.with_hostfile(target)
        return Decision(Action.RESTART, decision.code, f"{words}; restart without it", decision.wait_seconds)

    def _waited(self, seconds: float) -> bool:
        """Wait before a restart; False if somebody wants the run to stop instead."""
        deadline = time.monotonic() + seconds
        while not self.signals and time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, seconds))
        return not self.signals

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Schedulers and terminals may deliver one and the same order twice.
        if time.monotonic() - self._signal_at >= _SAME_SIGNAL_SECONDS:
            self.signals += 1
            self._signal_at = time.monotonic()

    def _event(self, event: str, **details: Any) -> None:
        append_json_line(self.folder.events, {"event": event, "time": round(time.time(), 3), **details})

    def _say(self, words: str) -> None:
        print(f"supervise: {words}", file=sys.stderr, flush=True)
