"""What happens after a start of a run has ended: pure, from facts to a decision."""

from dataclasses import dataclass, replace
from enum import StrEnum

from jp_llm.config.supervise import SuperviseConfig
from jp_llm.runtime.errors import ExitCode

FINAL = (ExitCode.CONFIG_REFUSED, ExitCode.PREFLIGHT_REFUSED, ExitCode.NOT_TRUSTWORTHY)
"""Causes that come back however often the run is started."""


DEATHS_ON_HOST = 3
"""Deaths before the first step, one after another, after which their host is left out."""


class Order(StrEnum):
    """Who wanted a run to stop."""

    NOBODY = "nobody"
    SIGNAL = "signal"  # to the supervisor or to a process of the run: a scheduler, or a person at the keyboard
    PERSON = "person"  # the file KILL


class Action(StrEnum):
    """What the supervisor does next."""

    DONE = "done"
    STOP = "stop"
    RESTART = "restart"
    RESTART_ELSEWHERE = "restart_elsewhere"
    REQUEUE = "requeue"
    REQUEUE_ELSEWHERE = "requeue_elsewhere"


@dataclass(frozen=True)
class Ending:
    """How one start ended, as the run folder and the launcher say."""

    cause: ExitCode
    """What the run says itself; UNEXPECTED if it said nothing."""
    code: int
    """Of the launcher; 128 + n if signal n ended it."""
    step: int | None = None
    """The step that was under way; None if training had not begun."""
    reason: str = ""
    host: str = ""
    """Of the process that failed first, if it could say so."""
    order: Order = Order.NOBODY
    is_held: bool = False
    """Refused only because another process still held the run folder."""


@dataclass(frozen=True)
class History:
    """What the supervisor remembers of earlier endings."""

    restarts: int = 0
    """Since the run last got further by `reset_steps`."""
    counted_from: int = 0
    furthest: int = 0
    fruitless: int = 0
    """Restarts in a row that did not get further than one before."""
    deaths: tuple[int, ...] = ()
    """Steps at which the run died."""
    host: str = ""
    """Of the deaths before the first step since the last one that was elsewhere, later or of no known host."""
    deaths_on_host: int = 0


@dataclass(frozen=True)
class Decision:
    """What to do, and what to tell the person."""

    action: Action
    code: ExitCode
    words: str
    wait_seconds: float = 0.0


def decide(ending: Ending, history: History, settings: SuperviseConfig, *, in_slurm: bool) -> tuple[Decision, History]:
    """The decision after `ending`, and the history with it.

    Args:
        in_slurm: whether the run is a job that may go back to the queue.
    """
    cause = ending.cause
    at = f" at step {ending.step}" if ending.step is not None else " before the first step"
    told = f": {ending.reason}" if ending.reason else ""
    if cause is ExitCode.DONE:
        return Decision(Action.DONE, cause, "done: the last step is saved"), history
    # Who held the folder before this supervisor began goes on; who holds it later is what is left of an earlier start.
    if cause in FINAL and not (ending.is_held and history.restarts):
        stopped = "not started" if ending.is_held else f"stopped{at}, a restart cannot help"
        return Decision(Action.STOP, cause, f"{stopped}{told}"), history
    if ending.order is Order.SIGNAL and in_slurm:
        return Decision(Action.REQUEUE, ExitCode.SAVED, f"{_saved(ending)}; the job goes back to the queue"), history
    if cause is ExitCode.SAVED or ending.order is not Order.NOBODY:
        return Decision(Action.STOP, cause, f"{_saved(ending)}{told}; the same command continues"), history

    history = _with_death(history, ending, settings.reset_steps)
    died = f"{_name(ending)}{at}{told}"
    if cause is ExitCode.RERUN_ELSEWHERE:
        action = Action.REQUEUE_ELSEWHERE if in_slurm else Action.RESTART_ELSEWHERE
        return Decision(action, cause, died, settings.backoff_seconds), history
    deaths = 0 if ending.step is None else history.deaths.count(ending.step)
    if deaths >= settings.same_step_deaths:
        return Decision(Action.STOP, cause, f"{died}; it died {deaths} times at this step, so it stops here"), history
    if history.restarts > settings.max_restarts:
        words = f"{died}; supervise.max_restarts {settings.max_restarts} are spent"
        return Decision(Action.STOP, cause, words), history
    # An exponent that only grows would overflow a float in a night.
    wait = min(settings.backoff_seconds * 2.0 ** min(history.fruitless, 30), settings.max_backoff_seconds)
    if history.deaths_on_host >= DEATHS_ON_HOST:
        words = f"{died}; so it went {history.deaths_on_host} times in a row"
        action = Action.REQUEUE_ELSEWHERE if in_slurm else Action.RESTART_ELSEWHERE
        return Decision(action, cause, words, wait), replace(history, host="", deaths_on_host=0)
    words = f"{died}; restart {history.restarts} of at most {settings.max_restarts} in {wait:g} s"
    return Decision(Action.RESTART, cause, words, wait), history


def stop_in_between(order: Order, *, in_slurm: bool) -> Decision:
    """The decision when somebody wants a run to stop that waits for its next start."""
    words = "stopped while it waited for a restart"
    if order is Order.SIGNAL and in_slurm:
        return Decision(Action.REQUEUE, ExitCode.SAVED, f"{words}; the job goes back to the queue")
    return Decision(Action.STOP, ExitCode.SAVED, f"{words}; the same command continues")


def _with_death(history: History, ending: Ending, reset_steps: int) -> History:
    step = ending.step
    is_early = step is None and bool(ending.host)
    reached = max(history.furthest, step or 0)
    got_further = reached > history.furthest
    if reached - history.counted_from >= reset_steps:
        history = replace(history, restarts=0, counted_from=reached)
    return replace(
        history,
        restarts=history.restarts + 1,
        furthest=reached,
        fruitless=0 if got_further or not history.restarts else history.fruitless + 1,
        deaths=history.deaths if step is None else (*history.deaths, step),
        host=ending.host if is_early else "",
        deaths_on_host=1 + history.deaths_on_host * (ending.host == history.host) if is_early else 0,
    )


def _saved(ending: Ending) -> str:
    if ending.cause is ExitCode.SAVED:
        return f"saved and stopped at step {ending.step}" if ending.step else "stopped before anything was trained"
    at = " before the first step" if ending.step is None else f" at step {ending.step}"
    return f"stopped, but not saved,{at}"


def _name(ending: Ending) -> str:
    where = f" on {ending.host}" if ending.host else ""
    if ending.cause is ExitCode.HUNG:
        return f"hung{where}"
    if ending.cause is ExitCode.RERUN_ELSEWHERE:
        return "processes computed what they must hold alike differently"
    return f"died{where} (launcher's exit code {ending.code})"
