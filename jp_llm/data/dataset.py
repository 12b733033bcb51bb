"""Global sample index -> token ids, for any number of sources and shards."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jp_llm.data.blend import BLOCK_SAMPLES, Blend, WeightedSources, WholeDataset, apportion
from jp_llm.data.stream import ShardPool, TokenStream
from jp_llm.runtime.errors import UserError, config_error
from jp_llm.runtime.files import fingerprint_of
from jp_llm.runtime.plugin import nearest
from jp_llm.shards.manifest import DatasetManifest, ShardManifest

ORDER = "feistel-8 splitmix64"
"""Names the formula in the fingerprint: a run cannot continue in the order of another formula."""
MAX_PROBLEMS = 10
"""Shards that are named when many are damaged."""


class TokenDataset:
    """Samples of `seq_length` + 1 ids, numbered from 0 without end.

    Which window sample i is depends on the dataset, split, seq_length, seed and weights alone: not on batch size,
    processes, or what was read before. Without weights every window of every source comes exactly once per epoch. With
    weights every source goes through epochs of its own (`jp_llm.data.blend.WeightedSources`), and a source without a
    weight is left out.

    Opening reads no tokens; it compares the sizes of the `.bin` files with the manifest. `.idx` files are not needed.

    Args:
        folder: the dataset folder.
        manifest: its `dataset.json`.
        split: train or validation.
        seq_length: tokens that a sample predicts.
        seed: of the order.
        weights: share of each source, scaled to sum to 1; None takes the whole dataset.

    Raises:
        UserError: no such split or source; a source that does not fill one sample (see `too_short`); a file that is
            absent or of another size.
    """

    def __init__(
        self,
        folder: Path,
        manifest: DatasetManifest,
        *,
        split: str,
        seq_length: int,
        seed: int,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.manifest = manifest
        self.split = split
        self.seq_length = seq_length
        self._folder = folder
        names = _sources(folder, manifest, split, weights)
        shards = {name: list(manifest.shards(split, name)) for name in names}
        _check_files(folder, [shard for name in names for shard in shards[name]])
        pool, vocab_size = ShardPool(folder), manifest.tokenizer.vocab_size
        streams = {name: TokenStream(pool, shards[name], seq_length, vocab_size) for name in names}
        short = [name for name, stream in streams.items() if not stream.num_windows]
        if len(short) == len(names) or (short and (split == "train" or weights is not None)):
            raise UserError(*(self._shortness(name) for name in short))
        self.too_short = tuple(short)
        """Sources whose held-out text does not fill one sample; they give none. In training they are refused."""
        self._streams = {name: stream for name, stream in streams.items() if name not in short}
        sizes = {name: stream.num_windows for name, stream in self._streams.items()}
        counts = None if weights is None else apportion({name: weights[name] for name in names}, BLOCK_SAMPLES)
        self._blend: Blend = WholeDataset(sizes, seed) if counts is None else WeightedSources(sizes, counts, seed)
        self.num_windows = sum(sizes.values())
        """Windows of all sources together: the samples of one epoch, when there are no weights."""
        self.fingerprint = fingerprint_of([manifest.fingerprint, split, seq_length, ORDER, seed, counts])
        """Hex SHA-256 of everything that decides the content of sample i."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that samples come from."""
        return tuple(self._streams)

    def sample(self, index: int) -> NDArray[np.int64]:
        """One sample, [seq_length + 1]: inputs without the last id, targets without the first."""
        row: NDArray[np.int64] = self.samples([index])[0]
        return row

    def samples(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Global sample indices [n] -> ids [n, seq_length + 1].

        Raises:
            UserError: a shard is absent or has another size, or holds an id beyond the vocabulary.
        """
        numbers = np.asarray(indices, np.int64)
        if numbers.min(initial=0) < 0:
            raise IndexError(f"sample {numbers.min()}")
        sources, windows = self._blend.locate(numbers)
        rows = np.empty((len(numbers), self.seq_length + 1), np.int64)
        for source, stream in enumerate(self._streams.values()):
            chosen = sources == source
            rows[chosen] = stream.read(windows[chosen])
        return rows

    def epochs(self, num_samples: int) -> dict[str, float]:
        """Passes over each source in the first `num_samples` samples, on average."""
        return dict(zip(self.sources, self._blend.epochs(num_samples), strict=True))

    def evaluation_samples(self, source: str, count: int) -> NDArray[np.int64]:
        """The first `count` windows of a source in the order of its text, or all: [up to count, seq_length + 1]."""
        if source not in self._streams:
            raise UserError(self._shortness(source))
        stream = self._streams[source]
        return stream.read(np.arange(min(count, stream.num_windows)))

    def _shortness(self, source: str) -> str:
        tokens, needed = self.manifest.tokens(self.split, source), self.seq_length + 1
        return (
            f"{self._folder}: source {source!r} has {tokens:,} {self.split} tokens, but one sample of "
            f"train.seq_length={self.seq_length} takes {needed:,}; add text to it, shorten train.seq_length, or leave "
            "it out (data.weights names the others)"
        )


def _sources(folder: Path, manifest: DatasetManifest, split: str, weights: Mapping[str, float] | None) -> list[str]:
    """Names of the sources to read, checked, in the order of the manifest."""
    known = list(manifest.sources)
    unknown = [] if weights is None else [name for name in weights if name not in known]
    if unknown:
        raise config_error(
            f"data.weights.{name}: {folder} has no such source{nearest(name, known)}" for name in unknown
        )
    if not manifest.tokens(split):
        raise UserError(f"{folder}: no {split} tokens in any of its sources; run launch/preprocess.py on more text")
    return known if weights is None else [name for name in known if name in weights]


def _check_files(folder: Path, shards: list[ShardManifest]) -> None:
    """Refuse shards whose `.bin` file is absent or has another size."""
    problems = [problem for shard in shards for problem in shard.bin_problems(folder)]
    if (more := len(problems) - MAX_PROBLEMS) > 0:
        problems[MAX_PROBLEMS:] = [f"{folder}: {more:,} more; launch/check_shards.py lists them all"]
    if problems:
        raise UserError(*problems)
