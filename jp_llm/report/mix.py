"""Which data a run has consumed, reckoned from its trained tokens and the shares of its sources."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jp_llm.report.lines import mapping, number
from jp_llm.report.run_record import RunRecord
from jp_llm.shards.manifest import DatasetManifest


@dataclass(frozen=True)
class Consumed:
    """Of one source, as its share promises; padding and samples that a rewind left out are no trained tokens."""

    source: str
    share: float
    """Of all tokens that were trained on."""
    tokens: float
    size: int
    """Tokens of its training split."""

    @property
    def epochs(self) -> float:
        """Passes over the source."""
        return self.tokens / self.size if self.size else math.nan


def consumed(run: RunRecord) -> list[Consumed]:
    """By source; empty where the datasets or the trained tokens are not known."""
    tokens = run.train["consumed_tokens"]
    if run.dataset is None or not len(tokens) or not math.isfinite(tokens[-1]):
        return []
    data = mapping(run.config.get("data"))
    replayed = number(mapping(data.get("replay")).get("share")) if run.replayed is not None else 0.0
    replayed = replayed if math.isfinite(replayed) else 0.0
    weights = {str(name): number(weight) for name, weight in mapping(data.get("weights")).items()}
    found = list(_of(run.dataset, weights, (1 - replayed) * float(tokens[-1]), 1 - replayed, ""))
    if run.replayed is not None:
        found += _of(run.replayed, {}, replayed * float(tokens[-1]), replayed, "replay/")
    return found


def _of(
    dataset: DatasetManifest, weights: dict[str, float], tokens: float, share: float, prefix: str
) -> Iterator[Consumed]:
    sizes = {source: dataset.tokens("train", source) for source in dataset.sources}
    shares = {source: weights.get(source, 0.0) if weights else float(size) for source, size in sizes.items()}
    total = sum(value for value in shares.values() if math.isfinite(value)) or 1.0
    for source, size in sizes.items():
        part = shares[source] / total if math.isfinite(shares[source]) else 0.0
        if part > 0:
            yield Consumed(prefix + source, share * part, tokens * part, size)
