"""Look after one run: start its launcher, see how it ends, start it again or stop with words."""

import math
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from jp_llm.config import app
from jp_llm.config.build import fields
from jp_llm.config.run import RunConfig
from jp_llm.report.at_end import reported
from jp_llm.runtime.bad_hosts import add_bad_host, bad_hosts
from jp_llm.runtime.commands import safe_command
from jp_llm.runtime.errors import ExitCode, UserError, config_error
from jp_llm.runtime.files import read_json
from jp_llm.runtime.lock import locked
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.supervise import command as commands
from jp_llm.supervise import orders, slurm
from jp_llm.supervise.attempt import Attempt
from jp_llm.supervise.command import Command
from jp_llm.supervise.events import Events, say
from jp_llm.supervise.evidence import Evidence, done_step, kill_all, orphans
from jp_llm.supervise.hosts import write_hostfile_without
from jp_llm.supervise.policy import Action, Decision, Ending, History, Order, decide, stop_in_between
from jp_llm.supervise.requeue import requeue
from jp_llm.watch.heartbeat import ATTEMPT_VARIABLE, beat_path

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 5.0
_SAME_SIGNAL_SECONDS = 2.0
_SECONDS_FOR_ORPHANS = 5.0
_PATIENCE_SECONDS = 2.0
"""With a process that still holds the run folder, and that no supervisor has started."""
_EARLIER_SECONDS = 60.0
"""Slurm may send its signal so much earlier than it was told to."""
_STEP_NAME = "jp_llm_"
_LOG = re.compile(r"start_(\d+)\.log")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)


def main(argv: Sequence[str]) -> int:
    """Supervise the launcher command `argv`; the exit code."""
    if list(argv[:1]) in (["-h"], ["--help"]):
        print(_help())
        return ExitCode.DONE
    try:
        command = commands.parse(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    return app.run("train", RunConfig, partial(supervise, command), command.words)


def _help() -> str:
    keys = [field for field in fields(RunConfig) if field[0].startswith("supervise.")]
    lines = [f"  {key}={default!r}\n      {meaning}" for key, default, meaning in keys]
    return "\n".join([f"usage: {commands.USAGE}", "", "Among the words of the training stand these keys:", *lines])


def supervise(command: Command, config: RunConfig) -> ExitCode:
    """Start the command until its run is done, or until starting it again cannot help.

    Raises:
        UserError: the run would not train, or another supervisor looks after it.
    """
    if config.dry_run:
        raise config_error(["dry_run: trains nothing that could be supervised; start launch/train.py itself"])
    command.check()
    folder = RunFolder(Path(config.run_dir))
    if done_step(folder) >= config.train.num_steps:
        print(f"supervise: {folder.done} says that the run is complete; raise train.num_steps to go on")
        return ExitCode.DONE
    with locked(folder.logs, required=False):
        # Of a supervisor that was killed before the run obeyed.
        orders.take_back(folder)
        with reported(folder.path, True, is_run=False):
            return Supervisor(command, config, folder).run()


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
        self.events = Events(folder)
        self.job = slurm.job_of(os.environ)
        self.history = History()
        self.signals = 0
        self._signal_at = -math.inf
        self.stop_deadline = 0.0
        self.bad_before: list[str] = []

    @property
    def may_requeue(self) -> bool:
        """Whether the run is a job of Slurm that may go back to the queue."""
        return self.job is not None and self.config.slurm.requeue

    def run(self) -> ExitCode:
        """Until the end; the exit code of the whole."""
        # What nohup made it deaf to stays unheard.
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            while True:
                problem = self._wait_for_folder()
                if self._is_unwanted():
                    return self._stopped_in_between()
                held = Ending(ExitCode.PREFLIGHT_REFUSED, 0, reason=problem, is_held=True)
                ending = held if problem else self._attempt()
                decision, self.history = decide(ending, self.history, self.config.supervise, in_slurm=self.may_requeue)
                decision = self._carried_out(decision, ending)
                say(decision.words)
                if decision.action is not Action.RESTART:
                    return decision.code
                if not self._waited(decision.wait_seconds):
                    return self._stopped_in_between()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _attempt(self) -> Ending:
        """Start the launcher and wait for its end; nothing of it is left on this machine afterwards."""
        found = (_LOG.fullmatch(path.name) for path in self.folder.logs.iterdir())
        number = 1 + max((int(match[1]) for match in found if match), default=0)
        log = self.folder.logs / f"start_{number:04d}.log"
        name = f"{number:04d}-{secrets.token_hex(4)}"
        argv = safe_command(self.command.argv)
        if self.job and Path(argv[0]).name == "srun":
            # By its name this step is told apart from those of others in the job.
            argv.insert(1, f"--job-name={_STEP_NAME}{name}")
        evidence = Evidence(self.folder, name)
        self.bad_before = bad_hosts(self.folder)
        self.events.write("attempt", number=number, command=argv, log=str(log))
        started = time.monotonic()
        attempt = Attempt(argv, log, os.environ | {ATTEMPT_VARIABLE: name})
        code, ordered, order, failure = None, False, Order.NOBODY, Failure(evidence)
        try:
            while (code := attempt.wait(_POLL_SECONDS)) is None:
                if self.signals and not ordered:
                    ordered, order = True, self._order_stop()
                if self.signals > 1 or (ordered and time.monotonic() > self.stop_deadline):
                    break
                if failure.lasts(self.config.supervise.failed_seconds):
                    say(f"killing the launcher, which does not end: {failure.words}")
                    break
        finally:
            if code is None:
                evidence.about_to_kill()
            code = attempt.end()
        if self.job:
            slurm.end_steps(slurm.steps(self.job, f"{_STEP_NAME}{name}") or [])
        self._end_orphans(evidence)
        if ordered:
            # Obeyed or not: the next start must not find it.
            orders.take_back(self.folder)
        elif self.signals:
            order = Order.SIGNAL
        ending = evidence.ending(code, self.config.train.num_steps, order=order)
        ending = self._with_samples(ending, evidence)
        seconds = round(time.monotonic() - started, 3)
        self.events.write("attempt_end", number=number, seconds=seconds, **asdict(ending))
        return ending

    def _order_stop(self) -> Order:
        """Have the run save and stop; who wants it to."""
        seconds = self.config.supervise.stop_seconds
        say(f"saving and stopping; a second signal ends the run at once, at the latest it ends in {seconds:g} s")
        self.stop_deadline = time.monotonic() + seconds
        return Order.SIGNAL if orders.give(self.folder) else Order.PERSON

    def _end_orphans(self, evidence: Evidence) -> None:
        """Processes that a daemon (sshd, slurmstepd) started for the launcher are not among its descendants."""
        deadline = time.monotonic() + _SECONDS_FOR_ORPHANS
        while (left := evidence.orphans()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        _kill_orphans(left)

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
        if decision.action is Action.RESTART and self.job:
            decision = self._if_time_is_left(decision)
        if decision.action in (Action.REQUEUE, Action.REQUEUE_ELSEWHERE):
            assert self.job is not None
            problem = requeue(
                self.job,
                self.folder,
                step=max(ending.step or 0, self.history.furthest),
                most_fruitless=self.config.supervise.fruitless_requeues,
            )
            # Whether the run is saved is what the code says, unless it goes on by itself.
            if problem is None:
                return replace(decision, action=Action.STOP)
            return Decision(Action.STOP, ending.cause, f"{decision.words}; {problem}")
        if decision.action is Action.STOP and self.job and not self.may_requeue and decision.code == ExitCode.SAVED:
            words = f"{decision.words}; slurm.requeue is false: the next job of a chain or an array goes on"
            return replace(decision, words=words)
        return decision

    def _if_time_is_left(self, decision: Decision) -> Decision:
        """No restart when the signal before the time limit has come already: there is no other."""
        assert self.job is not None
        left, needed = slurm.seconds_left(self.job), self.config.slurm.signal_seconds + _EARLIER_SECONDS
        if left is None or left - decision.wait_seconds > needed:
            return decision
        words = f"{decision.words.rpartition('; restart')[0]}; the job has {left} s left, too few for a restart"
        if self.may_requeue:
            return Decision(Action.REQUEUE, ExitCode.SAVED, f"{words}, and goes back to the queue")
        return Decision(Action.STOP, decision.code, f"{words}; slurm.requeue is false: the next job goes on")

    def _elsewhere(self, decision: Decision, ending: Ending) -> Decision:
        """Leave out the hosts that failed."""
        must = ending.cause is ExitCode.RERUN_ELSEWHERE
        hosts = [ending.host] if ending.host else []
        if must:
            # All processes end alike, and only the comparison knows whom it was about, if it does.
            hosts = [host for host in bad_hosts(self.folder) if host not in self.bad_before]
        if not hosts:
            return Decision(Action.STOP, decision.code, f"{decision.words}; which host is to be left out is not known")
        if decision.action is Action.REQUEUE_ELSEWHERE:
            for host in hosts:
                add_bad_host(self.folder, host)
            return decision
        names, target = ", ".join(hosts), self.folder.logs / "hostfile"
        lost, left = 0, 0
        if self.command.hostfile is not None:
            without = [*bad_hosts(self.folder), *hosts]
            lost, left = write_hostfile_without(without, self.command.hostfile, target)
        if lost and left:
            for host in hosts:
                add_bad_host(self.folder, host)
            self.command = self.command.with_hostfile(target)
            words = f"{decision.words}; {names} is in {self.folder.bad_hosts}; restart without it"
            return Decision(Action.RESTART, decision.code, words, decision.wait_seconds)
        if self.command.hostfile is None:
            missing = "there is no hostfile"
        else:
            missing = "no host would be left" if lost else f"{self.command.hostfile} has no host of this name"
        if not must:
            words = f"{decision.words}, but {names} cannot be left out ({missing}); restart"
            return Decision(Action.RESTART, decision.code, words, decision.wait_seconds)
        words = f"{decision.words}; {names} is in {self.folder.bad_hosts}; {missing}; start the run without it"
        return Decision(Action.STOP, decision.code, words)

    def _wait_for_folder(self) -> str:
        """Until no process holds the run folder; what is wrong if one goes on to hold it.

        What the last start left on other machines ends when the watchdog there sees the silence, which takes a while.
        """
        watchdog, is_restart = self.config.watchdog, self.history.restarts > 0
        patience = 2 * watchdog.silence_seconds + 3 * watchdog.grace_seconds + 2 * watchdog.beat_seconds
        begun = time.monotonic()
        while not self._is_unwanted():
            try:
                with locked(self.folder.path, required=False):
                    return ""
            except UserError as error:
                # The main process holds it: one that a supervisor started is left over, one of a person is not ours.
                is_left_over = bool(_beat_of_main(self.folder).get("attempt"))
                waits = patience if is_restart or is_left_over else _PATIENCE_SECONDS
                if time.monotonic() - begun >= waits:
                    return str(error)
                if is_left_over:
                    _kill_orphans(orphans([_beat_of_main(self.folder)]))
            time.sleep(_POLL_SECONDS)
        return ""

    def _waited(self, seconds: float) -> bool:
        """Wait before a restart; False if somebody wants the run to stop instead."""
        deadline = time.monotonic() + seconds
        while not self._is_unwanted() and time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, seconds))
        return not self._is_unwanted()

    def _is_unwanted(self) -> bool:
        """Whether somebody wants a run to stop that has not begun, or not begun again."""
        # The file KILL at the very beginning is for the run to obey.
        return bool(self.signals or (self.history.restarts and self.folder.kill_order.exists()))

    def _stopped_in_between(self) -> ExitCode:
        order = Order.PERSON if self.history.restarts and orders.obey(self.folder) else Order.SIGNAL
        decision = stop_in_between(order, in_slurm=self.may_requeue)
        decision = self._carried_out(decision, Ending(decision.code, 0, order=order))
        say(decision.words)
        return decision.code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Schedulers and terminals may deliver one and the same order twice.
        if time.monotonic() - self._signal_at >= _SAME_SIGNAL_SECONDS:
            self.signals += 1
            self._signal_at = time.monotonic()


def _beat_of_main(folder: RunFolder) -> dict[str, Any]:
    try:
        beat = read_json(beat_path(folder, 0))
    except (OSError, ValueError):
        return {}
    return beat if isinstance(beat, dict) else {}


def _kill_orphans(pids: list[int]) -> None:
    if pids:
        say(f"killing processes that outlived their launcher: {', '.join(map(str, pids))}")
        kill_all(pids)
