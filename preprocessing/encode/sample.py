"""The texts a tokenizer is trained on: a seeded sample of documents, divided over the sources."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.encode.texts import read_texts


@dataclass
class SourceSample:
    """What was taken of one source. Bytes are UTF-8."""

    rate: float
    """Probability with which a document is taken."""
    total_bytes: int
    documents: int = 0
    bytes: int = 0


class Sample:
    """Documents whose hash (of seed and text) falls below the rate of their source.

    So the choice depends on no position, file name or number of workers, and a larger sample contains a smaller one.
    Files are read once for the sizes of the sources, and again by every call of `texts`; one document is in memory at a
    time.
    """

    def __init__(
        self, files: Sequence[Path], sample_bytes: int, weights: Mapping[str, float] | None, seed: int
    ) -> None:
        """`weights` gives each source its share of `sample_bytes`, others none; without, all have the same rate.

        Of a source that is smaller than its share all is taken, and the sample is smaller.
        """
        self._files = files
        self._key = str(seed).encode()
        totals: Counter[str] = Counter()
        for path in files:
            for source, text in read_texts(path):
                totals[source] += len(text.encode())
        shares = weights or totals
        whole = sum(shares.values())
        self.sources = {
            source: SourceSample(min(1.0, sample_bytes * shares.get(source, 0) / whole / total), total)
            for source, total in sorted(totals.items())
            if total
        }

    def texts(self) -> Iterator[str]:
        """The texts of the sample in the order of the files, counted in `sources` (anew by every call)."""
        for sample in self.sources.values():
            sample.documents = sample.bytes = 0
        for path in self._files:
            for source, text in read_texts(path):
                taken, data = self.sources.get(source), text.encode()
                if taken and self._draw(data) < taken.rate:
                    taken.documents += 1
                    taken.bytes += len(data)
                    yield text

    def _draw(self, data: bytes) -> float:
        digest = hashlib.blake2b(data, digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little") / 2**64
