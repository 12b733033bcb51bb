"""What the report says about pairs of a document and the one it was compared with; parts of it add up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.deduplicate.tables import FILE_SHIFT
from preprocessing.text.keys import mixed

SAMPLE = 100
"""Pairs that are kept for people to look at."""


@dataclass
class Pairs:
    """Of documents that were dropped (or compared and kept), each with the document that stays."""

    by_source: Counter[str] = field(default_factory=Counter)
    """`<source of the dropped> <source of the kept>` -> pairs."""
    sizes: Counter[str] = field(default_factory=Counter)
    """Largest power of two that is not above the size of a group -> groups of two or more."""
    sample: list[tuple[int, int, float]] = field(default_factory=list)
    """Document, the one that stays, estimated similarity: the same pairs however the work is divided."""

    @classmethod
    def of(
        cls,
        numbers: NDArray[np.uint64],
        others: NDArray[np.uint64],
        similarities: NDArray[np.float64],
        sizes: NDArray[np.int64],
        sources: Sequence[str],
        seed: int,
    ) -> "Pairs":
        """
        Args:
            numbers: of the documents.
            others: of those that stay.
            similarities: estimated, of each pair.
            sizes: of groups of similar documents; those of one are passed over.
            sources: of each cleaned file.
            seed: another one samples other pairs.
        """
        names = sorted(set(sources))
        places = np.array([names.index(source) for source in sources], dtype=np.int64)
        both = places[(numbers >> FILE_SHIFT).astype(np.int64)] * len(names)
        both += places[(others >> FILE_SHIFT).astype(np.int64)]
        counts = np.bincount(both, minlength=len(names) ** 2).reshape(len(names), len(names))
        by_source = Counter({f"{names[a]} {names[b]}": int(counts[a, b]) for a, b in np.argwhere(counts).tolist()})
        powers = np.bincount(np.log2(sizes[sizes > 1]).astype(np.int64))
        histogram = Counter({str(1 << power): int(count) for power, count in enumerate(powers) if count})
        chosen = np.argsort(_lots(numbers, seed), kind="stable")[:SAMPLE]
        triples = (numbers[chosen].tolist(), others[chosen].tolist(), similarities[chosen].round(4).tolist())
        return cls(by_source, histogram, list(zip(*triples, strict=True)))

    def add(self, other: "Pairs", seed: int) -> None:
        """Add counts, and keep the pairs that a sample of both would have."""
        self.by_source.update(other.by_source)
        self.sizes.update(other.sizes)
        pairs = self.sample + [(number, kept, similarity) for number, kept, similarity in other.sample]
        lots = _lots(np.array([pair[0] for pair in pairs], dtype=np.uint64), seed)
        self.sample = [pairs[place] for place in np.argsort(lots, kind="stable")[:SAMPLE].tolist()]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"by_source": dict(self.by_source), "sizes": dict(self.sizes), "sample": self.sample}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Pairs":
        """Read what `to_json` wrote."""
        return cls(Counter(value["by_source"]), Counter(value["sizes"]), [tuple(pair) for pair in value["sample"]])


def _lots(numbers: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A random number for each document, decided by its number and the seed."""
    return mixed(numbers ^ mixed(np.array([seed], dtype=np.uint64)))
