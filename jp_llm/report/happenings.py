"""What happened to a run, as words and as marks on its curves."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from jp_llm.page.curves import Mark
from jp_llm.report.lines import mapping, number
from jp_llm.report.run_record import RunRecord
from jp_llm.runtime.errors import ExitCode

_KINDS = {
    "skip": ("skip", "S", 4),
    "rewind": ("rewind", "R", 3),
    "resume": ("restart", "↻", 5),
    "hang": ("hang", "H", 1),
    "died": ("process died", "D", 1),
    "replica_mismatch": ("copies differ", "C", 1),
    "save_failed": ("save failed", "F", 1),
    "damaged_checkpoint": ("damaged checkpoint", "X", 1),
    "degenerate": ("repeats itself", "L", 6),
    "straggler": ("slow host", "W", 6),
    "stop": ("stop", "■", 7),
}
"""Event -> its name in a legend, its letter, its colour."""
_ROUTINE = {"save", "attempt", "level"}
MOST_ROWS = 200
_MOST_CHARACTERS = 400


def step_of(event: dict[str, Any]) -> float:
    """The step that an event speaks of, NaN if of none."""
    if event.get("event") == "hang":
        culprits = event.get("culprits")
        steps = [number(mapping(one).get("step")) for one in culprits] if isinstance(culprits, list) else []
        return max((step for step in steps if math.isfinite(step)), default=math.nan)
    return number(event.get("step"))


def marks(run: RunRecord, *, over: str) -> list[Mark]:
    """On a curve over `step`, or over `seconds` since the first event."""
    begin, has_begun = begun(run), False
    found = []
    for event in run.events:
        name = str(event.get("event"))
        if name == "start":
            # One that died before its first checkpoint starts a second time.
            name, has_begun = "resume" if has_begun else name, True
        if (kind := _KINDS.get(name)) is None:
            continue
        step = step_of(event)
        x = step if over == "step" else number(event.get("time")) - begin
        at = f"step {step:,.0f}: " if math.isfinite(step) else ""
        found.append(Mark(x, kind[0], kind[1], f"{at}{kind[0]}; {words_of(event)}", kind[2]))
    return found


def begun(run: RunRecord) -> float:
    """When the first event was written, in Unix seconds; NaN if none was."""
    times = [time for event in run.events if math.isfinite(time := number(event.get("time")))]
    return min(times, default=math.nan)


def words_of(event: dict[str, Any]) -> str:
    """The fields of an event that are no table of their own."""
    parts = []
    for key, value in event.items():
        if key in ("event", "time", "step", "command", "culprits") or value in (None, "", []):
            continue
        if isinstance(value, float):
            value = f"{value:.4g}" if abs(value) < 1e6 else f"{value:.0f}"
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        parts.append(f"{key.replace('_', ' ')} {value}")
    text = "; ".join(parts)
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + " ..."


def rows(run: RunRecord) -> tuple[list[tuple[str, str, str, str]], int]:
    """(time after the first, step, event, words) of what is no routine, and how many more there are than are shown."""
    begin = begun(run)
    told = [event for event in run.events if str(event.get("event")) not in _ROUTINE]
    left_out = max(0, len(told) - MOST_ROWS)
    if left_out:
        told = [*told[: MOST_ROWS // 2], *told[-MOST_ROWS // 2 :]]
    found = []
    for event in told:
        after, step = number(event.get("time")) - begin, step_of(event)
        found.append(
            (
                _clock(after) if math.isfinite(after) else "",
                f"{step:,.0f}" if math.isfinite(step) else "",
                str(event.get("event", "")).replace("_", " "),
                words_of(event),
            )
        )
    return found, left_out


def state_words(run: RunRecord) -> str:
    """How the run stands, in a sentence."""
    state, step, reason = run.status.get("state"), run.last_step, str(run.status.get("reason") or "")
    at = "before the first step was recorded" if step is None else f"at step {step:,}"
    steps = number(mapping(run.config.get("train")).get("num_steps"))
    of = f" of {steps:,.0f}" if math.isfinite(steps) else ""
    if state == "done":
        return f"Done: {step or 0:,} steps{of}, and the last is saved."
    if state == "saved":
        return f"Stopped {at}{of} with everything saved ({reason}); the same command continues."
    if state == "failed":
        return f"Failed {at}{of} with {_code_words(run.status.get('code'))}: {reason or 'no reason was given'}"
    if run.is_alive:
        return f"Running: {at}{of}."
    if state == "running":
        return (
            f"Died without a word {at}{of}: status.json still says that it runs, but no process holds the run folder"
            f"{_last_sign(run)}. Repeating the command continues from the newest checkpoint."
        )
    if any(event.get("event") == "end" for event in run.events[-3:]):
        return f"Done: {step or 0:,} steps{of} (events.jsonl; there is no status.json)."
    return f"How the run ended is not known: status.json says nothing; the records end {at}{of}{_last_sign(run)}."


def _last_sign(run: RunRecord) -> str:
    times = list(_times(run))
    return f"; its last event was written at {_utc(max(times))}" if times else ""


def _times(run: RunRecord) -> Iterator[float]:
    for event in run.events:
        if math.isfinite(time := number(event.get("time"))):
            yield time


def _utc(time: float) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{time}"


def time_words(run: RunRecord) -> str:
    """From the first event to the last."""
    times = list(_times(run))
    if not times:
        return "not known"
    return f"{_utc(min(times))} to {_utc(max(times))} ({duration(max(times) - min(times))})"


def duration(seconds: float) -> str:
    """In days, hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _clock(seconds: float) -> str:
    """93784 seconds are `26:03:04`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _code_words(code: Any) -> str:
    try:
        return f"exit code {code} ({ExitCode(code).name.lower().replace('_', ' ')})"
    except ValueError:
        return f"exit code {code}"
