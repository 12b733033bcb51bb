"""`report.html`: one run, or several side by side. One file, no script, nothing fetched, every text escaped."""

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import jp_llm
from jp_llm.page.document import document, facts, table, table_row, write_document
from jp_llm.page.element import Html, element
from jp_llm.page.histogram import bar
from jp_llm.report import happenings
from jp_llm.report.lines import mapping, number
from jp_llm.report.mix import consumed
from jp_llm.report.pictures import pictures
from jp_llm.report.run_record import Numbers, RunRecord

MOST_PROMPTS = 20
MOST_STEPS = 12
"""Of samples per prompt: the first, the last and some between."""
MOST_CHARACTERS = 1500
_GIB = 2**30


def write_page(path: Path, runs: Sequence[RunRecord]) -> None:
    """Write the page of these runs."""
    write_document(path, page_of(runs))


def page_of(runs: Sequence[RunRecord]) -> str:
    """The page."""
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    foot = element("p", f"Made {made} by jp-llm {jp_llm.__version__}.", class_="id")
    if len(runs) == 1:
        run = runs[0]
        title = f"Run {run.name}"
        return document(title, element("h1", title), *_one(run), foot)
    title = f"{len(runs)} runs"
    return document(title, element("h1", title), *_several(_with_names(runs)), foot)


def _with_names(runs: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """Whole paths where two folders have the same name."""
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.name = str(run.folder)
    return runs


def _one(run: RunRecord) -> Iterator[Html]:
    yield element("p", happenings.state_words(run), class_="state")
    yield _notes(run)
    yield facts(_summary(run))
    yield element("h2", "Curves")
    yield pictures([run])
    yield from _events(run)
    yield from _mix(run)
    yield from _samples(run)
    yield from _plan(run)
    yield from _evaluation(run)
    yield from _configuration(run)
    yield from _hashes(run)


def _several(runs: Sequence[RunRecord]) -> Iterator[Html]:
    for run in runs:
        yield element("h3", run.name)
        yield element("p", happenings.state_words(run), class_="state")
        yield _notes(run)
    yield element("h2", "Summary")
    yield _side_by_side("", [dict(_summary(run)) for run in runs], [run.name for run in runs])
    yield element("h2", "Curves")
    yield pictures(runs)
    yield element("h2", "Differences of the configurations")
    flat = [dict(_flat(run.config)) for run in runs]
    keys = [key for key in _keys(flat) if len({one.get(key, "") for one in flat}) > 1]
    yield (
        _side_by_side("key", [{key: one.get(key, "-") for key in keys} for one in flat], [run.name for run in runs])
        if keys
        else element("p", "None.")
    )
    for run in runs:
        yield element("h1", run.name)
        for part in (_events(run), _mix(run), _samples(run), _plan(run), _evaluation(run), _configuration(run)):
            yield from part
        yield from _hashes(run)


def _side_by_side(corner: str, columns: Sequence[Mapping[str, str]], names: Sequence[str]) -> Html:
    rows = (table_row((key, *(column.get(key, "-") for column in columns))) for key in _keys(columns))
    return table((corner, *names), rows, "words")


def _keys(columns: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for column in columns for key in column))


def _notes(run: RunRecord) -> Html:
    notes = list(run.notes)
    losses = run.train["loss"]
    if missing := int(np.isnan(losses).sum()):
        notes.append(f"{missing:,} of {len(losses):,} recorded steps have no finite loss.")
    return element("div", *(element("p", note) for note in notes), class_="notes") if notes else Html("")


def _summary(run: RunRecord) -> Iterator[tuple[str, str]]:
    model, train = mapping(run.config.get("model")), mapping(run.config.get("train"))
    yield "run folder", str(run.folder)
    if model:
        shape = f"{_shown(model.get('num_layers'))} layers, {_shown(model.get('hidden_size'))} wide"
        vocabulary = _shown(model.get("vocab_size"))
        yield "model", f"{model.get('arch')} {model.get('size')}: {shape}, vocabulary {vocabulary}"
    if run.config.get("init_from"):
        yield "began with", str(run.config["init_from"])
    steps, tokens = run.train["step"], run.train.known("consumed_tokens")
    if len(steps):
        yield "steps", f"{steps[-1]:,.0f} of {_shown(train.get('num_steps'))}"
    if len(tokens):
        yield "tokens", f"{tokens[-1]:,.0f}"
    if len(losses := run.train.known("loss")):
        yield "loss", f"{losses[0]:.4f} at first, {losses[-1]:.4f} at last, {losses.min():.4f} at best"
    if len(speed := run.train.known("tokens_per_second")):
        yield "throughput", f"{np.median(speed):,.0f} tokens/s (median)"
    if len(mfu := run.train.known("mfu")):
        yield "MFU", f"{np.median(mfu):.1%} (median; of the peak in bf16)"
    yield "time", happenings.time_words(run)
    begins = [event for event in run.events if event.get("event") in ("start", "resume")]
    if begins:
        device = f" on {begins[-1]['device']}" if begins[-1].get("device") else ""
        yield "processes", f"{_shown(begins[-1].get('world_size'))}{device}"
        yield "restarts", f"{len(begins) - 1:,}"
    kinds = [str(event.get("event")) for event in run.events]
    yield "skips, rewinds, hangs", ", ".join(f"{kinds.count(kind):,}" for kind in ("skip", "rewind", "hang"))
    if run.checkpoint:
        yield "newest checkpoint", str(run.checkpoint["name"])
    yield from _last_held_out(run)


def _last_held_out(run: RunRecord) -> Iterator[tuple[str, str]]:
    if run.evaluations:
        step = max(run.evaluations)
        for name, measures in run.evaluations[step].items():
            if math.isfinite(value := number(measures.get("bits_per_character"))):
                yield f"held-out {name}", f"{value:.3f} bits/character at step {step:,.0f}"


def _events(run: RunRecord) -> Iterator[Html]:
    rows, left_out = happenings.rows(run)
    if not rows:
        return
    yield element("h2", "What happened")
    if left_out:
        yield element(
            "p", f"The first and the last {happenings.MOST_ROWS // 2}; {left_out:,} between them are left out."
        )
    yield table(("after", "step", "event", ""), (table_row(cells) for cells in rows), "log")


def _mix(run: RunRecord) -> Iterator[Html]:
    found = consumed(run)
    if not found:
        return
    yield element("h2", "Data consumed")
    rows = (
        table_row(
            (
                one.source,
                f"{one.share:.1%}",
                bar(one.share, "kept"),
                f"{one.tokens:,.0f}",
                f"{one.size:,}",
                f"{one.epochs:.2f}",
            )
        )
        for one in found
    )
    yield table(("source", "share", "", "tokens", "tokens it has", "epochs"), rows)
    yield element(
        "p",
        "Reckoned: the trained tokens, without padding and branches that were given up, by the shares of the sources.",
        class_="id",
    )


def _samples(run: RunRecord) -> Iterator[Html]:
    if not run.samples:
        return
    yield element("h2", "Samples over time")
    if (left_out := len(run.samples) - MOST_PROMPTS) > 0:
        yield element("p", f"Of the first {MOST_PROMPTS} prompts; {left_out:,} more are in samples.jsonl.")
    for prompt, steps in itertools.islice(run.samples.items(), MOST_PROMPTS):
        shown = _some(sorted(steps))
        count = f"{len(steps):,} samples{f', {len(shown)} shown' * (len(shown) < len(steps))}"
        title = f"{_cut(prompt) or '(no prompt)'} ({count})"
        parts = []
        for step in shown:
            parts += [element("div", f"step {step:,.0f}", class_="id"), element("pre", _cut(steps[step]), lang="ja")]
        yield element("details", element("summary", title), *parts, open="open")


def _cut(text: str) -> str:
    return text[:MOST_CHARACTERS] + (" ..." if len(text) > MOST_CHARACTERS else "")


def _some(steps: Sequence[float]) -> list[float]:
    if len(steps) <= MOST_STEPS:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (MOST_STEPS - 1))] for place in range(MOST_STEPS)]


def _plan(run: RunRecord) -> Iterator[Html]:
    """What launch/plan.py and a named cluster promised, and what was measured since the last start: every start writes
    plan.json anew, for the processes that it has."""
    if not run.plan:
        return
    yield element("h2", "Plan against actual")
    plan, memory = run.plan, number(mapping(run.plan.get("memory_bytes")).get("total"))
    steps, num_steps = run.train["step"], number(mapping(run.config.get("train")).get("num_steps"))
    since = steps > run.last_start
    speed, mfu = (_median(run.train[name][since]) for name in ("tokens_per_second", "mfu"))
    used = run.train["peak_memory_bytes"][since]
    unfinished = since & (steps < num_steps)
    seconds = run.train["seconds_left"][unfinished] / (num_steps - steps[unfinished])
    rows = [
        _against("seconds per step", number(plan.get("step_seconds")), _median(seconds), "{:.4g}"),
        _against("tokens per second", number(plan.get("tokens_per_second")), speed, "{:,.0f}"),
        _against("MFU", number(plan.get("mfu")), mfu, "{:.1%}"),
        _against("memory of a device, GiB", memory / _GIB, np.fmax.reduce(used, initial=math.nan) / _GIB, "{:.2f}"),
    ]
    yield table(("", "plan", "measured", "measured / plan"), rows)
    words = (
        "Medians over the steps recorded since the last start, of which padding is no part; memory is the most that "
        "tensors took of the GPU of the main process."
    )
    if plan.get("fits") is False:
        words += " The plan said that this run does not fit into memory."
    yield element("p", words, class_="id")


def _median(values: Numbers) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def _against(name: str, plan: float, actual: float, form: str) -> Html:
    ratio = actual / plan if plan else math.nan
    shown = [form.format(value) if math.isfinite(value) else "not recorded" for value in (plan, actual)]
    return table_row((name, *shown, f"{ratio:.2f}" if math.isfinite(ratio) else "-"))


def _evaluation(run: RunRecord) -> Iterator[Html]:
    """The measures by source as a table; the rest is shown as it is."""
    if not run.evaluation:
        return
    yield element("h2", "Evaluation")
    rest = dict(run.evaluation)
    sources = {name: mapping(rest.pop(name, None)) for name in ("sources", "total")}
    lines = {**sources["sources"], **({"total": sources["total"]} if sources["total"] else {})}
    measures = _keys(mapping(line) for line in lines.values())
    if measures:
        rows = (
            table_row((name, *(_shown(mapping(line).get(key)) for key in measures))) for name, line in lines.items()
        )
        yield table(("source", *(key.replace("_", " ") for key in measures)), rows)
    if rest:
        yield element("details", element("summary", "all other fields"), element("pre", _yaml(rest)))


def _configuration(run: RunRecord) -> Iterator[Html]:
    yield element("h2", "Configuration")
    yield (
        element("details", element("summary", "config.resolved.yaml"), element("pre", _yaml(run.config)))
        if run.config
        else element("p", "Not known: there is no readable config.resolved.yaml.")
    )


def _hashes(run: RunRecord) -> Iterator[Html]:
    newest = run.checkpoint
    yield element("h2", "Hashes")
    if not newest:
        yield element("p", "There is no checkpoint, so nothing is hashed yet.")
        return
    rows = [
        ("checkpoint", str(newest["name"])),
        ("configuration", _shown(newest.get("config_sha256"))),
        ("data", _shown(newest.get("data_fingerprint"))),
        ("tokenizer", _shown(newest.get("tokenizer_fingerprint"))),
        ("written by", _shown(newest.get("producer"))),
        ("layout", ", ".join(f"{key} {value}" for key, value in mapping(newest.get("layout")).items())),
        ("state", ", ".join(f"{key} {_shown(value)}" for key, value in mapping(newest.get("state")).items())),
    ]
    yield facts(row for row in rows if row[1] not in ("", "-"))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"
    return str(value)


def _yaml(value: Any) -> str:
    try:
        return yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
    except RecursionError:
        return "nested too deeply to be shown"
