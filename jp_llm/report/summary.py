"""What a run came to, as a table for the terminal: corpus, model, loss curve, held-out measures, samples, files."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jp_llm.report.config import PAGE_FILE, ReportConfig
from jp_llm.report.happenings import state_words
from jp_llm.report.lines import mapping, number
from jp_llm.report.page import write_page
from jp_llm.report.run_record import EVALUATION, RunRecord, read_run
from jp_llm.runtime.errors import UserError, code_of
from jp_llm.texts.records import read_objects

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 48
_MOST_TEXTS = 10
_MOST_CHARACTERS = 500


def run(config: ReportConfig) -> None:
    """Print the table of each run, and write the page of all.

    Raises:
        UserError: a run folder holds nothing of a run, or a named file is missing, or that of texts
            cannot be read, or the page cannot be written.
    """
    evaluation = _existing(config.evaluation) if config.evaluation else None
    runs = [read_run(Path(folder).expanduser(), evaluation) for folder in config.run_dir]
    output = Path(config.output).expanduser() if config.output else runs[0].folder / PAGE_FILE
    tables = []
    for record in runs:
        rows = [("state", state_words(record)), *_data_rows(record), *_training_rows(record)]
        rows += _evaluation_rows(record, evaluation or record.folder / EVALUATION)
        if config.texts:
            rows += _text_rows(_existing(config.texts))
        rows += [("run folder", str(record.folder))]
        if config.model:
            rows += [("model", str(_existing(config.model)))]
        rows += [("note", note) for note in record.notes]
        tables.append(table([*rows, ("report", str(output))]))
    try:
        write_page(output, runs)
    except OSError as error:
        problem = f"{output}: {error.strerror or error}; name another file, e.g. output=page.html"
        raise UserError(problem, code=code_of(error)) from error
    print("\n".join(tables))


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns; the name stands beside the first line of what belongs to it."""
    width = max(len(name) for name, _ in rows)
    rule = "─" * (width + 80)
    lines = [rule]
    for name, text in rows:
        first, *others = text.split("\n")
        lines.append(f"{name:<{width}}  {first}")
        lines += [f"{'':<{width}}  {line}" for line in others]
    return "\n".join([*lines, rule])


def curve(values: Sequence[float], width: int = _CURVE_WIDTH) -> str:
    """A line of bars, highest value full; each bar is the mean of its stretch of `values`."""
    width = min(width, len(values))
    edges = [round(index * len(values) / width) for index in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low or 1.0)
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)


def _data_rows(record: RunRecord) -> Iterator[tuple[str, str]]:
    manifest = record.dataset
    if manifest is None:
        return
    lines = []
    for source in manifest.sources:
        documents, characters = manifest.documents("train", source), manifest.characters("train", source)
        tokens = manifest.tokens("train", source)
        lines.append(
            f"{source}: {documents:,} documents, {characters:,} characters, {tokens:,} tokens, "
            f"{characters / max(1, tokens):.2f} characters/token; "
            f"held out {manifest.documents('validation', source):,} documents"
        )
    yield "corpus", "\n".join(lines)
    folder = Path(record.config["data"]["path"]) / manifest.tokenizer.folder
    yield "tokenizer", f"{manifest.tokenizer.vocab_size:,} pieces, {folder}"


def _training_rows(record: RunRecord) -> Iterator[tuple[str, str]]:
    train = record.train
    steps, tokens, speed = train["step"], train.known("consumed_tokens"), train.known("tokens_per_second")
    if len(steps):
        known = [f"{steps[-1]:,.0f} steps"]
        known += [f"{tokens[-1]:,.0f} tokens"] if len(tokens) else []
        known += [f"{np.median(speed):,.0f} tokens/s"] if len(speed) else []
        yield "training", ", ".join(known)
    if len(losses := train.known("loss")):
        yield "loss", f"{losses[0]:.3f} {curve(losses.tolist())} {losses[-1]:.3f}"
    if record.evaluations:
        sources = record.evaluations[max(record.evaluations)]
        yield "held out", "\n".join(_measures(name, values) for name, values in sources.items())


def _evaluation_rows(record: RunRecord, path: Path) -> Iterator[tuple[str, str]]:
    if record.evaluation:
        sources = mapping(record.evaluation.get("sources"))
        lines = [_measures(name, values) for name, values in sources.items() if isinstance(values, dict)]
        yield "evaluation", "\n".join([*lines, str(path)])


def _measures(name: str, values: Mapping[str, Any]) -> str:
    bits = [(number(values.get(f"bits_per_{unit}")), unit) for unit in ("character", "byte")]
    found = [f"{value:.3f} bits/{unit}" for value, unit in bits if math.isfinite(value)]
    if math.isfinite(perplexity := number(values.get("perplexity"))):
        found.append(f"perplexity {perplexity:.1f}")
    return f"{name}: {', '.join(found)}"


def _text_rows(path: Path) -> Iterator[tuple[str, str]]:
    rows = read_objects(path)
    texts = [f"{row.get('prompt') or ''}{row['text']}" for row in itertools.islice(rows, _MOST_TEXTS)]
    lines = [text[:_MOST_CHARACTERS] + " ..." * (len(text) > _MOST_CHARACTERS) for text in texts]
    if more := sum(1 for _ in rows):
        lines.append(f"and {more:,} more in {path}")
    yield "samples", "\n".join(line.replace("\n", "⏎") for line in lines)


def _existing(name: str) -> Path:
    if not Path(name).exists():
        raise UserError(f"{name}: no such file or folder")
    return Path(name)
