"""Global sample index -> token ids, for any number of sources and shards."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jp_llm.data.blend import BLOCK_SAMPLES, Blend, WeightedSources, WholeDataset, apportion
from jp_llm.data.order import Permutation
from jp_llm.data.packing import PACKING
from jp_llm.data.stream import ShardPool, TokenStream
from jp_llm.data.windows import CutWindows, PackedWindows, Windows
from jp_llm.runtime.errors import UserError, config_error
from jp_llm.runtime.files import fingerprint_of
from jp_llm.runtime.plugin import nearest
from jp_llm.shards.manifest import DatasetManifest, ShardManifest

ORDER = "feistel-8 splitmix64"
"""Names the formula in the fingerprint: a run cannot continue in the order of another formula."""
MAX_PROBLEMS = 10
"""Shards that are named when many are damaged."""


class Measure(NamedTuple):
    """How much text stands behind the tokens of a source."""

    tokens: int
    """That are predicted."""
    characters: int
    bytes: int


class Dataset(Protocol):
    """Samples of `seq_length` + 1 ids, numbered from 0 without end."""

    manifest: DatasetManifest
    """Of the dataset whose tokenizer the run uses."""
    fingerprint: str
    """Hex SHA-256 of everything that decides the content of sample i."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that samples come from."""
        ...

    def samples(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Global sample indices [n] -> ids [n, seq_length + 1].

        Raises:
            UserError: a shard is absent or has another size, or holds an id beyond the vocabulary.
        """
        ...

    def documents(self, indices: ArrayLike) -> NDArray[np.int64] | None:
        """Global sample indices [n] -> which document of its sample each id belongs to, [n, seq_length + 1], from 0, -1
        for padding. None where documents are cut."""
        ...

    def predicted(self, indices: ArrayLike) -> int:
        """Tokens that are predicted in these samples together."""
        ...

    def epochs(self, num_samples: float) -> dict[str, float]:
        """Passes over each source in the first `num_samples` samples, on average."""
        ...

    def describe(self) -> str:
        """Folder and size, for people."""
        ...

    def evaluation_samples(self, source: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Up to `count` samples of a source, the same ones every time, and their documents (see `documents`).

        Of cut documents the first in the order of the text; of whole ones, whose windows lie by length, a fixed choice.
        """
        ...

    def measure(self, source: str) -> Measure:
        """What loss per token is multiplied with to become loss per character: counts of a whole source and split."""
        ...


class TokenDataset:
    """The samples of one dataset folder (see `Dataset`).

    Which window sample i is depends on the dataset, split, seq_length, documents, seed and weights alone: not on batch
    size, processes, or what was read before. Without weights every window of every source comes exactly once per epoch.
    With weights every source goes through epochs of its own (`jp_llm.data.blend.WeightedSources`), and a source without
    a weight is left out.

    Opening reads no tokens; it compares the sizes of the `.bin` files with the manifest. `.idx` files are needed for
    whole documents only.

    Args:
        folder: the dataset folder.
        manifest: its `dataset.json`.
        split: train or validation.
        seq_length: tokens that a sample predicts at most.
        seed: of the order.
        weights: share of each source, scaled to sum to 1; None takes the whole dataset.
        documents: `cut` at the end of a window, or kept `whole` (`jp_llm.data.windows`).
        prefix: of the names of the sources.
        leave_out_short: also in training a source that does not fill one sample is left out (see `too_short`).

    Raises:
        UserError: no such split or source; a source that does not fill one sample, or none that does; a file that is
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
        documents: Literal["cut", "whole"] = "cut",
        prefix: str = "",
        leave_out_short: bool = False,
    ) -> None:
        self.manifest = manifest
        self.split = split
        self.seq_length = seq_length
        self._folder = folder
        self._whole = documents == "whole"
        self._prefix = prefix
        names = _sources(folder, manifest, split, weights)
        shards = {name: list(manifest.shards(split, name)) for name in names}
        _check_files(folder, [shard for name in names for shard in shards[name]])
        pool, tokenizer = ShardPool(folder), manifest.tokenizer
        windows: dict[str, Windows] = {}
        for name in names:
            stream = TokenStream(pool, shards[name], tokenizer.vocab_size)
            windows[name] = (
                PackedWindows(stream, seq_length, tokenizer) if self._whole else CutWindows(stream, seq_length)
            )
        short = [name for name, found in windows.items() if not found.num_windows]
        refused = weights is not None or (split == "train" and not leave_out_short)
        if len(short) == len(names) or (short and refused):
            raise UserError(*(self._shortness(name) for name in short))
        self.too_short = tuple(f"{prefix}{name}" for name in short)
        """Sources whose text does not fill one sample; they give none. In training they are refused, except in a
        replay."""
        self._windows = {f"{prefix}{name}": found for name, found in windows.items() if name not in short}
        sizes = {name: windows[name].num_windows for name in names if name not in short}
        counts = None if weights is None else apportion({name: weights[name] for name in names}, BLOCK_SAMPLES)
        self._blend: Blend = WholeDataset(sizes, seed) if counts is None else WeightedSources(sizes, counts, seed)
        self.num_windows = sum(sizes.values())
        """Windows of all sources together: the samples of one epoch, when there are no weights."""
        packing = [PACKING] if self._whole else []
        self.fingerprint = fingerprint_of([manifest.fingerprint, split, seq_length, ORDER, seed, counts, *packing])
        """See `Dataset`."""

    @property
    def sources(self) -> tuple[str, ...]:
        """See `Dataset`."""
        return tuple(self._windows)

    def sample(self, index: int) -> NDArray[np.int64]:
        """One sample, [seq_length + 1]: inputs without the last id, targets without the first."""
        row: NDArray[np.int64] = self.samples([index])[0]
        return row

    def samples(self, indices: ArrayLike) -> NDArray[np.int64]:
        """See `Dataset`."""
        numbers, rows = self._rows(indices)
        for chosen, source, windows in self._located(numbers):
            rows[chosen] = source.read(windows)
        return rows

    def documents(self, indices: ArrayLike) -> NDArray[np.int64] | None:
        """See `Dataset`."""
        if not self._whole:
            return None
        numbers, rows = self._rows(indices)
        for chosen, source, windows in self._located(numbers):
            found = source.documents(windows)
            assert found is not None
            rows[chosen] = found
        return rows

    def predicted(self, indices: ArrayLike) -> int:
        """See `Dataset`."""
        numbers = np.asarray(indices, np.int64)
        if not self._whole:
            return len(numbers) * self.seq_length
        return sum(source.predicted(windows) for _, source, windows in self._located(numbers))

    def _rows(self, indices: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The indices, and room for what they say."""
        numbers = np.asarray(indices, np.int64)
        if numbers.min(initial=0) < 0:
            raise IndexError(f"sample {numbers.min()}")
        return numbers, np.empty((len(numbers), self.seq_length + 1), np.int64)

    def _located(self, numbers: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.bool_], Windows, NDArray[np.int64]]]:
        """Source by source: which of the samples are its, and their windows."""
        sources, windows = self._blend.locate(numbers)
        for source, found in enumerate(self._windows.values()):
            chosen = sources == source
            yield chosen, found, windows[chosen]

    def epochs(self, num_samples: float) -> dict[str, float]:
        """See `Dataset`."""
        return dict(zip(self.sources, self._blend.epochs(num_samples), strict=True))

    def describe(self) -> str:
        """See `Dataset`."""
        predicted = sum(found.num_predicted for found in self._windows.values())
        text = f"{self._folder}: {predicted:,} tokens"
        if self._whole:
            text += (
                f" in whole documents, which fill {predicted / (self.num_windows * self.seq_length):.1%} of the windows"
            )
        if self.too_short:
            text += f" (without {', '.join(self.too_short)}: too short for one window)"
        return text

    def evaluation_samples(self, source: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """See `Dataset`."""
        if source not in self._windows:
            raise UserError(self._shortness(source.removeprefix(self._prefix)))
        found = self._windows[source]
        chosen = np.arange(min(count, found.num_windows))
        if self._whole:
            chosen = Permutation(found.num_windows, 0, "held out")(chosen, 0)
        return found.read(chosen), found.documents(chosen)

    def measure(self, source: str) -> Measure:
        """See `Dataset`."""
        name, manifest = source.removeprefix(self._prefix), self.manifest
        tokens = self._windows[source].num_predicted if self._whole else manifest.tokens(self.split, name)
        return Measure(tokens, manifest.characters(self.split, name), manifest.bytes(self.split, name))

    def _shortness(self, source: str) -> str:
        tokens, needed = self.manifest.tokens(self.split, source), self.seq_length + 1
        # A replay has no weights.
        leave_out = ", or name another folder" if self._prefix else ", or leave it out (data.weights names the others)"
        if self._whole:
            return (
                f"{self._folder}: source {source!r} has no {self.split} document in which a token is predicted; add "
                f"text to it{leave_out}"
            )
        return (
            f"{self._folder}: source {source!r} has {tokens:,} {self.split} tokens, but one sample of "
            f"train.seq_length={self.seq_length} takes {needed:,}; set data.documents=whole (which pads), add text to "
            f"it, shorten train.seq_length{leave_out}"
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
        raise UserError(
            f"{folder}: no {split} tokens in any of its sources; run launch/preprocess.py on more text, or "
            "with another validation_fraction"
        )
    return known if weights is None else [name for name in known if name in weights]


def _check_files(folder: Path, shards: list[ShardManifest]) -> None:
    """Refuse shards whose `.bin` file is absent or has another size."""
    problems = [problem for shard in shards for problem in shard.bin_problems(folder)]
    if (more := len(problems) - MAX_PROBLEMS) > 0:
        problems[MAX_PROBLEMS:] = [f"{folder}: {more:,} more; launch/check_shards.py lists them all"]
    if problems:
        raise UserError(*problems)
