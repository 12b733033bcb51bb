"""Two datasets as one: what is learned, and samples of what was learned before (Rolnick et al. 2019, "Experience Replay
for Continual Learning"; for language models Ibrahim et al. 2024, section 4.3)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jp_llm.data.blend import BLOCK_SAMPLES, Indices
from jp_llm.data.dataset import Measure, TokenDataset
from jp_llm.runtime.errors import config_error
from jp_llm.runtime.files import fingerprint_of
from jp_llm.shards.manifest import DatasetManifest

PREFIX = "replay/"
"""Before the names of the sources of the second dataset."""
EVENLY = "evenly"
"""Names the rule in the fingerprint."""


def evenly(samples: Indices, replayed: int) -> tuple[Indices, Indices]:
    """Whose turn each sample is: `replayed` of every aligned block of 65,536, and their share of any other stretch
    within one sample.

    Returns:
        [n] 1 where it is a replayed sample and 0 otherwise, and [n] how many of its kind come before it.
    """
    blocks, places = np.divmod(samples, BLOCK_SAMPLES)
    before = places * replayed // BLOCK_SAMPLES
    is_replayed = (places + 1) * replayed // BLOCK_SAMPLES - before
    of_replay = blocks * replayed + before
    return is_replayed, np.where(is_replayed, of_replay, samples - of_replay)


class ReplayedDataset:
    """A share of samples from `replay`, evenly, and the others from `main` (see `Dataset`).

    Either goes through its samples in its own order, as if it were alone: its epochs stay whole.

    Args:
        main: what is learned.
        replay: with sources that have the `PREFIX`, of the same seq_length and with documents alike.
        share: of the samples, between 0 and 1.
    """

    def __init__(self, main: TokenDataset, replay: TokenDataset, share: float) -> None:
        replayed = round(share * BLOCK_SAMPLES)
        if not 0 < replayed < BLOCK_SAMPLES:
            raise config_error(
                [f"data.replay.share: {share} is less than one of {BLOCK_SAMPLES:,} samples, or all of them"]
            )
        self.manifest = main.manifest
        """See `Dataset`."""
        self._parts = main, replay
        self._replayed = replayed
        self.fingerprint = fingerprint_of([main.fingerprint, replay.fingerprint, EVENLY, replayed])
        """See `Dataset`."""

    @property
    def sources(self) -> tuple[str, ...]:
        """See `Dataset`."""
        return tuple(source for part in self._parts for source in part.sources)

    def samples(self, indices: ArrayLike) -> NDArray[np.int64]:
        """See `Dataset`."""
        numbers, portions = self._located(indices)
        rows = np.empty((len(numbers), self._parts[0].seq_length + 1), np.int64)
        for number, part in enumerate(self._parts):
            rows[portions == number] = part.samples(numbers[portions == number])
        return rows

    def documents(self, indices: ArrayLike) -> NDArray[np.int64] | None:
        """See `Dataset`."""
        numbers, portions = self._located(indices)
        rows = np.empty((len(numbers), self._parts[0].seq_length + 1), np.int64)
        for number, part in enumerate(self._parts):
            documents = part.documents(numbers[portions == number])
            if documents is None:
                return None
            rows[portions == number] = documents
        return rows

    def predicted(self, indices: ArrayLike) -> int:
        """See `Dataset`."""
        numbers, portions = self._located(indices)
        return sum(part.predicted(numbers[portions == number]) for number, part in enumerate(self._parts))

    def epochs(self, num_samples: float) -> dict[str, float]:
        """See `Dataset`."""
        main, replay = self._parts
        return main.epochs(num_samples * (1 - self._share)) | replay.epochs(num_samples * self._share)

    def describe(self) -> str:
        """See `Dataset`."""
        main, replay = self._parts
        return f"{main.describe()}; {self._share:.1%} of the samples from {replay.describe()}"

    @property
    def _share(self) -> float:
        return self._replayed / BLOCK_SAMPLES

    def evaluation_samples(self, source: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """See `Dataset`."""
        return self._part_of(source).evaluation_samples(source, count)

    def measure(self, source: str) -> Measure:
        """See `Dataset`."""
        return self._part_of(source).measure(source)

    def _located(self, indices: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Number of each sample in its part, and which part that is."""
        samples = np.asarray(indices, np.int64)
        if samples.min(initial=0) < 0:
            raise IndexError(f"sample {samples.min()}")
        portions, numbers = evenly(samples, self._replayed)
        return numbers, portions

    def _part_of(self, source: str) -> TokenDataset:
        return self._parts[source.startswith(PREFIX)]


def tokenizer_problems(main: DatasetManifest, replay: DatasetManifest, main_path: str, replay_path: str) -> list[str]:
    """Why the samples of two datasets cannot be mixed: ids of different tokenizers mean different things."""
    ours, theirs = main.tokenizer.fingerprint, replay.tokenizer.fingerprint
    if ours == theirs:
        return []
    return [
        f"data.replay.path: {replay_path} was encoded with tokenizer {theirs[:12]}, {main_path} with {ours[:12]}; "
        "encode one of them again with the tokenizer of the other: launch/preprocess.py ... "
        f"tokenizer.path={replay_path}/{replay.tokenizer.folder}"
    ]
