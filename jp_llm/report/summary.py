"""What a run came to, as a table for the terminal: corpus, model, loss curve, held-out measures, samples, files."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.shards.manifest import DATASET_FILE, DatasetManifest

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 48


class ReportConfig(Section):
    """A run, and what was made of it."""

    run_dir: str = ""
    """Run folder of launch/train.py."""
    model: str | None = None
    """Hugging Face folder that was exported from it."""
    evaluation: str | None = None
    """JSON file of launch/evaluate.py."""
    texts: str | None = None
    """JSON Lines file of launch/generate.py."""

    def problems(self) -> list[str]:
        return [] if self.run_dir else ["run_dir: name a run folder, e.g. run_dir=runs/first"]


def run(config: ReportConfig) -> None:
    """Print the table.

    Raises:
        UserError: the run folder holds no metrics, or a named file is missing.
    """
    run_dir = Path(config.run_dir)
    if not (run_dir / "metrics.jsonl").is_file():
        raise UserError(f"{run_dir}: no metrics.jsonl; name the run_dir of launch/train.py")
    rows = [*_data_rows(run_dir), *_training_rows(run_dir)]
    if config.evaluation:
        rows += _evaluation_rows(_existing(config.evaluation))
    if config.texts:
        rows += _text_rows(_existing(config.texts))
    rows += [("run folder", str(run_dir))]
    if config.model:
        rows += [("model", str(_existing(config.model)))]
    print(table(rows))


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


def _data_rows(run_dir: Path) -> Iterator[tuple[str, str]]:
    config = yaml.safe_load((run_dir / "config.resolved.yaml").read_text(encoding="utf-8"))
    folder = Path(config["data"]["path"])
    if not (folder / DATASET_FILE).is_file():
        return
    manifest = DatasetManifest.load(folder)
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
    yield "tokenizer", f"{manifest.tokenizer.vocab_size:,} pieces, {folder / manifest.tokenizer.folder}"


def _training_rows(run_dir: Path) -> Iterator[tuple[str, str]]:
    records = read_json_lines(run_dir / "metrics.jsonl")
    # After a resume a step may stand twice: the later record counts.
    steps = {record["step"]: record for record in records if record["kind"] == "train"}
    train = [steps[step] for step in sorted(steps)]
    if train:
        losses = [record["loss"] for record in train if record["loss"] is not None]
        speed = sorted(record["tokens_per_second"] for record in train)[len(train) // 2]
        yield "training", f"{train[-1]['step']:,} steps, {train[-1]['consumed_tokens']:,} tokens, {speed:,.0f} tokens/s"
        if losses:
            yield "loss", f"{losses[0]:.3f} {curve(losses)} {losses[-1]:.3f}"
    held_out = [record for record in records if record["kind"] == "eval"]
    if held_out:
        yield "held out", "\n".join(_measures(name, values) for name, values in held_out[-1]["sources"].items())


def _evaluation_rows(path: Path) -> Iterator[tuple[str, str]]:
    sources: dict[str, Any] = read_json(path)["sources"]
    yield "evaluation", "\n".join([*(_measures(name, values) for name, values in sources.items()), str(path)])


def _measures(name: str, values: dict[str, float]) -> str:
    return (
        f"{name}: {values['bits_per_character']:.3f} bits/character, {values['bits_per_byte']:.3f} bits/byte, "
        f"perplexity {values['perplexity']:.1f}"
    )


def _text_rows(path: Path) -> Iterator[tuple[str, str]]:
    rows = read_json_lines(path)
    yield "samples", "\n".join((row["prompt"] + row["text"]).replace("\n", "⏎") for row in rows)


def _existing(name: str) -> Path:
    if not Path(name).exists():
        raise UserError(f"{name}: no such file or folder")
    return Path(name)
