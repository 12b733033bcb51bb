"""What came out of a corpus, per source: the table at the end of a run, and the sums for the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import ShardManifest
from preprocessing.counts import Counts, reasons
from preprocessing.documents import SPLITS


@dataclass
class SourceSummary:
    """One source, or the sum of all."""

    counts: Counts = field(default_factory=Counts)
    """Of cleaning."""
    deduplicated: Counts = field(default_factory=Counts)
    """Of deduplication, whose `documents_in` are the documents that came out of cleaning."""
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    """Split -> tokens, with <s> and </s>."""
    encode_cpu_seconds: float = 0.0

    @property
    def result(self) -> Counts:
        """Of the last stage that wrote documents."""
        return self.deduplicated if self.is_deduplicated else self.counts

    @property
    def is_deduplicated(self) -> bool:
        """Whether documents have gone through deduplication."""
        return self.deduplicated.documents_in > 0

    def add(self, other: "SourceSummary") -> None:
        """Add everything of `other`."""
        self.counts.add(other.counts)
        self.deduplicated.add(other.deduplicated)
        for split in SPLITS:
            self.tokens[split] += other.tokens[split]
        self.encode_cpu_seconds += other.encode_cpu_seconds

    def add_shard(self, split: str, shard: ShardManifest, cpu_seconds: float) -> None:
        """Add an encoded shard."""
        self.tokens[split] += shard.tokens
        self.encode_cpu_seconds += cpu_seconds

    @property
    def characters_per_token(self) -> float | None:
        """None before encoding. <s> and </s> are not counted."""
        plain = sum(self.tokens.values()) - 2 * self.result.documents_out.total()
        return self.result.characters / plain if plain > 0 else None

    @property
    def cpu_seconds(self) -> float:
        """Of cleaning, deduplication and encoding."""
        return self.counts.cpu_seconds + self.deduplicated.cpu_seconds + self.encode_cpu_seconds

    @property
    def megabytes_per_second_per_core(self) -> float:
        """10^6 bytes of the result in UTF-8 per second of processor time: cleaning, writing what is left of duplicates,
        encoding. What deduplication compares belongs to no source; the report has its cost."""
        return self.result.bytes / max(self.cpu_seconds, 1e-9) / 1e6

    def to_json(self) -> dict[str, Any]:
        """From what was read to what remains, as a JSON object; documents_in = documents_out + all of `dropped`.

        `cpu_seconds` is the time of cleaning alone. Steps and histograms are left to the report.
        """
        whole = Counts()
        whole.add(self.counts)
        if self.is_deduplicated:
            whole.dropped.update(self.deduplicated.dropped)
            whole.dropped_characters.update(self.deduplicated.dropped_characters)
            whole.changed.update(self.deduplicated.changed)
            whole.documents_out = self.result.documents_out
            whole.characters, whole.bytes = self.result.characters, self.result.bytes
        values = whole.to_json()
        del values["steps"], values["histograms"]
        return {
            **values,
            "deduplicate_cpu_seconds": self.deduplicated.cpu_seconds,
            "tokens": self.tokens,
            "encode_cpu_seconds": self.encode_cpu_seconds,
            "characters_per_token": self.characters_per_token,
            "megabytes_per_second_per_core": self.megabytes_per_second_per_core,
        }


Summaries = dict[str, SourceSummary]
"""Source -> what came out of it."""


def check_not_empty(summaries: Summaries, output_dir: str) -> None:
    """
    Raises:
        UserError: a source has no training documents left; says where they went.
    """
    problems = []
    for source, summary in summaries.items():
        counts = summary.counts
        if not counts.documents_out["train"]:
            where = [f"{counts.documents_in:,} documents read"]
            where += [f"rejected: {reasons(counts.rejected)} (see {output_dir}/rejects)"] if counts.rejected else []
            where += [f"dropped: {reasons(counts.dropped)}"] if counts.dropped else []
            where += [f"{held_out} held out for validation"] if (held_out := counts.documents_out["validation"]) else []
            where += [f"{counts.skipped_members:,} archive members not selected"] if counts.skipped_members else []
            problems.append(f"sources.{source}: no training documents are left; {'; '.join(where)}")
            problems += [f"sources.{source}.{remedy}" for remedy in _remedies(summary)]
    if problems:
        raise UserError(*problems, f"mend the configuration and delete {output_dir}, or choose another output_dir")


def _remedies(summary: SourceSummary) -> Iterator[str]:
    """What may have gone wrong with a source of which nothing is left; keys are relative to it."""
    counts, rejected = summary.counts, summary.counts.rejected
    if counts.documents_out["validation"] and not counts.dropped:
        yield "paths: too few documents to hold some out; set validation_fraction=0, or divide the text into more"
    if counts.documents_in:
        return
    if not (rejected or counts.skipped_members):
        yield "paths: these files hold no text"
    if rejected["utf16"]:
        yield "paths: this is UTF-16; write it as UTF-8 first (iconv -f utf-16 -t utf-8)"
    elif rejected["encoding"]:
        yield "reader.encodings: this is not UTF-8; for a file from Windows set it to [cp932], for old Unix to [euc-jp]"
    if rejected["json"] or rejected["no_object"]:
        yield "reader.type: there is not a JSON object on every line; corpus=finetune reads plain text"
    if rejected["no_text"]:
        yield "reader.text_field: name the key under which the text stands"


def total(summaries: Summaries) -> SourceSummary:
    """The sum over all sources."""
    whole = SourceSummary()
    for summary in summaries.values():
        whole.add(summary)
    return whole


def table(summaries: Summaries) -> str:
    """Sizes and speed per source, then what was rejected, dropped or changed, by reason."""
    head = ("source", "read", "train", "validation", "characters", "tokens", "chars/token", "MB/s per core")
    named = list(summaries.items())
    rows = [head, *(_row(source, summary) for source, summary in named)]
    if len(named) > 1:
        rows.append(_row("total", total(summaries)))
    lines = _aligned(rows)
    for source, summary in named:
        counts = summary.counts
        removed = summary.deduplicated
        for what, counter in (
            ("rejected", counts.rejected),
            ("dropped", counts.dropped + removed.dropped),
            ("changed", counts.changed + removed.changed),
        ):
            if counter:
                lines.append(f"{source}: {what} {reasons(counter)}")
        if counts.skipped_members:
            lines.append(f"{source}: {counts.skipped_members:,} archive members not selected by `files`")
    return "\n".join(lines)


def _row(name: str, summary: SourceSummary) -> tuple[str, ...]:
    counts, result, ratio = summary.counts, summary.result, summary.characters_per_token
    tokens = sum(summary.tokens.values())
    return (
        name,
        f"{counts.documents_in + counts.rejected.total():,}",
        *(f"{result.documents_out[split]:,}" for split in SPLITS),
        f"{result.characters:,}",
        f"{tokens:,}" if tokens else "-",
        f"{ratio:.3f}" if ratio else "-",
        f"{summary.megabytes_per_second_per_core:.1f}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
