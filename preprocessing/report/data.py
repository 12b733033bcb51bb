"""The content of `report.json`."""

from pathlib import Path
from typing import Any

from jp_llm.runtime.files import read_json
from preprocessing.config import CorpusConfig
from preprocessing.counts import Counts, StepCounts
from preprocessing.deduplicate.report import REPORT_FILE as DUPLICATES_FILE
from preprocessing.report.histograms import SHOWN, WHENS
from preprocessing.report.samples import SAMPLES, Samples
from preprocessing.summary import SourceSummary, Summaries, total
from preprocessing.versions import versions

_HOUR = 3600.0


def report_of(folder: Path, config: CorpusConfig, summaries: Summaries) -> dict[str, Any]:
    """Everything that is known of the corpus in `folder`, as a JSON object.

    `sources.<name>` and `total`: see `SourceSummary.to_json`. For each source besides: `funnel`, a list of stages and
    steps in order; `histograms`; and `samples`, by rule.
    """
    whole = total(summaries)
    duplicates = folder / DUPLICATES_FILE
    return {
        "name": config.name,
        "config_fingerprint": config.fingerprint(),
        "versions": versions(),
        "total": whole.to_json(),
        "core_hours": _core_hours(folder),
        "sources": {
            source: summary.to_json()
            | {
                "funnel": funnel_of(summary),
                "histograms": _histograms(summary.counts),
                "samples": _samples(folder, source),
            }
            for source, summary in summaries.items()
        },
        "duplicates": read_json(duplicates) if whole.is_deduplicated and duplicates.exists() else None,
    }


def funnel_of(summary: SourceSummary) -> list[dict[str, Any]]:
    """What went into each stage and step of a source, what came out, and why not all of it."""
    counts = summary.counts
    bytes_per_character = counts.bytes_in / max(counts.characters_in, 1)
    rows: list[dict[str, Any]] = [
        {
            "stage": "read",
            "step": None,
            "documents_in": counts.documents_in + counts.rejected.total(),
            "documents_out": counts.documents_in,
            "characters_out": counts.characters_in,
            "bytes_out": counts.bytes_in,
            "dropped": {reason: {"documents": number} for reason, number in sorted(counts.rejected.items())},
        }
    ]
    rows += [_step(name, step, bytes_per_character) for name, step in counts.steps.items()]
    seconds = [step.seconds for step in counts.steps.values() if step.seconds is not None]
    rows.append(
        {
            "stage": "clean",
            "step": None,
            "documents_in": counts.documents_in,
            "documents_out": counts.documents_out.total(),
            "characters_in": counts.characters_in,
            "characters_out": counts.characters,
            "bytes_in": counts.bytes_in,
            "bytes_out": counts.bytes,
            "dropped": _by_reason(counts),
            "cpu_seconds": counts.cpu_seconds,
            "cpu_seconds_but_steps": max(counts.cpu_seconds - sum(seconds), 0.0),
        }
    )
    if summary.is_deduplicated:
        rows.append(_deduplication(summary))
    return rows


def _step(name: str, step: StepCounts, bytes_per_character: float) -> dict[str, Any]:
    seconds = step.seconds
    speed = step.characters_in * bytes_per_character / seconds / 1e6 if seconds else None
    return {
        "stage": "clean",
        "step": name,
        "documents_in": step.documents_in,
        "documents_out": step.documents_out,
        "characters_in": step.characters_in,
        "characters_out": step.characters_out,
        "dropped": {
            reason: {
                "documents": number,
                "characters": step.dropped_characters[reason],
                "bytes": step.dropped_bytes[reason],
            }
            for reason, number in sorted(step.dropped.items())
        },
        "documents_changed": step.documents_changed,
        "characters_removed": step.characters_removed,
        "characters_added": step.characters_added,
        "changed": dict(sorted(step.changed.items())),
        "cpu_seconds": seconds,
        "megabytes_per_second": speed,
    }


def _deduplication(summary: SourceSummary) -> dict[str, Any]:
    before, after = summary.counts, summary.deduplicated
    return {
        "stage": "deduplicate",
        "step": None,
        "documents_in": after.documents_in,
        "documents_out": after.documents_out.total(),
        "characters_in": before.characters,
        "characters_out": after.characters,
        "bytes_in": before.bytes,
        "bytes_out": after.bytes,
        "dropped": _by_reason(after),
        "changed": dict(sorted(after.changed.items())),
        "cpu_seconds": after.cpu_seconds,
    }


def _by_reason(counts: Counts) -> dict[str, dict[str, int]]:
    """Characters stand only where they were counted."""
    return {
        reason: {"documents": number}
        | ({"characters": counts.dropped_characters[reason]} if reason in counts.dropped_characters else {})
        for reason, number in sorted(counts.dropped.items())
    }


def _histograms(counts: Counts) -> dict[str, Any]:
    """See preprocessing/report/histograms.py: `lengths.<when>`: the largest length of a bin -> documents;
    `scripts.<when>.<script>`: documents per tenth; `characters.<when>.<script>`."""
    found = counts.histograms
    lengths: dict[str, dict[str, int]] = {when: {} for when in WHENS}
    for name, number in sorted(found.items()):
        kind, when, which = name.split(".", 2)
        if kind == "lengths":
            lengths[when][str((1 << int(which)) - 1)] = number
    return {
        "lengths": lengths,
        "scripts": {
            when: {script: [found[f"scripts.{when}.{script}.{tenth}"] for tenth in range(10)] for script in SHOWN}
            for when in WHENS
        },
        "characters": {when: {script: found[f"characters.{when}.{script}"] for script in SHOWN} for when in WHENS},
    }


def _samples(folder: Path, source: str) -> dict[str, Any]:
    """Merged over the units, whose number follows the name of the source."""
    merged = Samples()
    for path in sorted((folder / SAMPLES).glob(f"{source}-*.json.zst")):
        if path.name.removeprefix(f"{source}-").removesuffix(".json.zst").isdigit():
            merged.add(Samples.load(path))
    return merged.to_json()


def _core_hours(folder: Path) -> dict[str, float]:
    """Processor time of each stage that has run, from the marks of its tasks."""
    seconds = {}
    for stage in ("split", "clean", "deduplicate", "tokenizer", "encode"):
        seconds[stage] = sum(
            read_json(mark)["cpu_seconds"] for mark in sorted((folder / "marks" / stage).rglob("*.json"))
        )
    return {stage: value / _HOUR for stage, value in seconds.items() if value}
