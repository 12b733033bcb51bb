"""The curves of one run, and those of several in one picture."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jp_llm.page.curves import COLOURS, Mark, Series, curves, grid
from jp_llm.page.element import Html
from jp_llm.report.happenings import begun, marks, step_of
from jp_llm.report.lines import number
from jp_llm.report.run_record import Numbers, RunRecord

_TITLES = {
    "loss": "Loss (nats per token)",
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm",
    "tokens_per_second": "Throughput (tokens per second)",
    "mfu": "Model FLOPs utilisation (share of the peak in bf16)",
    "peak_memory_bytes": "Most memory of the main process's GPU (GiB)",
}
_LABELS = {"step": "step", "consumed_tokens": "tokens"}
_ALIKE = 1.01
"""Runs of which one reads so many times as much in a step as the other are compared by steps."""
_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
_SELDOM = {"mfu", "peak_memory_bytes"}
"""Not recorded where the device has none."""
_FROM_ZERO = {"learning_rate", "tokens_per_second", "mfu", "peak_memory_bytes"}
_OVER_STEPS = {"skip", "rewind", "restart", "hang", "process died", "copies differ", "stop"}
"""Kinds of marks that stand on curves over steps; the others would only be in the way."""


def pictures(runs: Sequence[RunRecord]) -> Html:
    """Of what was recorded; one run with its marks, several by colour."""
    single, over = len(runs) == 1, _over(runs)
    shown = [mark for mark in marks(runs[0], over="step") if mark.kind in _OVER_STEPS] if single else []
    found = []
    for column, title in _TITLES.items():
        series = [one for place, run in enumerate(runs) for one in _series(run, column, over, place, single)]
        if series or column not in _SELDOM:
            found.append(curves(title, series, x_label=_LABELS[over], marks=shown, from_zero=column in _FROM_ZERO))
    found += [_held_out(runs[0], shown)] if single else _held_out_by_source(runs, over)
    found += _repetition(runs, over, shown)
    if single:
        found.append(_progress(runs[0]))
    return grid(found)


def _over(runs: Sequence[RunRecord]) -> str:
    """The column below the curves: steps of different batches are no measure of what a run has read."""
    if not all(len(run.train["step"]) and np.isfinite(run.train["consumed_tokens"]).all() for run in runs):
        return "step"
    read = [run.train["consumed_tokens"][-1] / max(run.train["step"][-1], 1) for run in runs]
    return "consumed_tokens" if max(read) > _ALIKE * min(read) else "step"


def _at(run: RunRecord, steps: Sequence[float], over: str) -> Numbers:
    """Steps, or the tokens that were trained on until then."""
    at = np.array(steps, np.float64)
    return at if over == "step" else np.interp(at, run.train["step"], run.train[over])


def _series(run: RunRecord, column: str, over: str, place: int, single: bool) -> list[Series]:
    scale = 2**-30 if column == "peak_memory_bytes" else 1.0
    x, y = run.train[over], run.train[column] * scale
    if not np.isfinite(y).any():
        return []
    colour = place % COLOURS
    name = "" if single else run.name
    found = []
    if single and column == "loss" and np.isfinite(run.train.given_up(column)).any():
        name = "that counts"
        lost = run.train.given_up(column)
        found.append(Series("given up by a restart or a rewind", run.train.columns["step"], lost, 1, faint=True))
    return [Series(name, x, y, colour), *found]


def _held_out(run: RunRecord, shown: Sequence[Mark]) -> Html:
    names = list(dict.fromkeys(name for sources in run.evaluations.values() for name in sources))
    series = [_measure(run, name, "step", name, place) for place, name in enumerate(names)]
    return curves("Held-out text (bits per character)", series, x_label="step", marks=shown)


def _held_out_by_source(runs: Sequence[RunRecord], over: str) -> list[Html]:
    names = dict.fromkeys(name for run in runs for sources in run.evaluations.values() for name in sources)
    return [
        curves(
            f"Held-out {name} (bits per character)",
            [_measure(run, name, over, run.name, place) for place, run in enumerate(runs) if run.evaluations],
            x_label=_LABELS[over],
        )
        for name in names
    ]


def _measure(run: RunRecord, source: str, over: str, name: str, place: int) -> Series:
    steps = sorted(run.evaluations)
    values = [number(run.evaluations[step].get(source, {}).get("bits_per_character")) for step in steps]
    return Series(name, _at(run, steps, over), np.array(values, np.float64), place % COLOURS)


def _repetition(runs: Sequence[RunRecord], over: str, shown: Sequence[Mark]) -> list[Html]:
    series = []
    for place, run in enumerate(runs):
        if run.repetition:
            steps = sorted(run.repetition)
            values = [number(run.repetition[step].get("repeated_4grams")) for step in steps]
            name = run.name if len(runs) > 1 else ""
            series.append(Series(name, _at(run, steps, over), np.array(values, np.float64), place % COLOURS))
    title = "Repetition in samples (share of 4-grams that stood before)"
    return [curves(title, series, x_label=_LABELS[over], marks=shown, from_zero=True)] if series else []


def _progress(run: RunRecord) -> Html:
    """Steps over time; the line is broken where nothing ran."""
    begin = begun(run)
    seconds, steps, runs = [0.0], [np.nan], False
    for event in run.events:
        name, second, step = event.get("event"), number(event.get("time")) - begin, step_of(event)
        if name in ("start", "resume"):
            runs = True
            seconds.append(second)
            steps.append(np.nan)
        # Others speak of an old checkpoint, or of a run that has ended.
        is_of_now = runs and name not in ("hang", "attempt_end", "damaged_checkpoint")
        runs &= name not in ("hang", "attempt_end", "stop", "end", "exit")
        if not (is_of_now and np.isfinite(second) and np.isfinite(step)):
            continue
        seconds.append(second)
        steps.append(step)
        if name == "rewind":
            seconds.append(second)
            steps.append(number(event.get("to_step")))
    unit, size = next((name, size) for name, size in _UNITS if max(seconds) >= 2 * size or size == 1)
    line = Series("", _numbers(seconds) / size, _numbers(steps))
    shown = [replace(mark, x=mark.x / size) for mark in marks(run, over="seconds")]
    return curves("Progress (step)", [line], x_label=f"{unit} since the start", marks=shown)


def _numbers(values: Sequence[float]) -> Numbers:
    return np.array(values, np.float64)
