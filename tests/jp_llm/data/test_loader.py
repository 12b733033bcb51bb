import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.data.dataset import TokenDataset
from jp_llm.data.loader import Batch, Loader
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest

Make = Callable[..., tuple[Path, DatasetManifest]]
SIZES = {"web": {"train": [150, 130]}, "aozora": {"train": [90]}}


@pytest.fixture(scope="module")
def dataset(make_dataset: Make) -> TokenDataset:
    return TokenDataset(*make_dataset(SIZES), split="train", seq_length=12, seed=1)


def load(dataset: TokenDataset, **changes: Any) -> Loader:
    options: dict[str, Any] = {
        "global_batch_size": 4,
        "micro_batch_size": 2,
        "data_parallel_rank": 0,
        "data_parallel_size": 1,
        **changes,
    }
    return Loader(dataset, **options)


def rows(batch: Batch) -> list[list[int]]:
    """The samples of a batch, put together again."""
    return [
        [*tokens, targets[-1]]
        for micro in batch.microbatches
        for tokens, targets in zip(micro.tokens_BT.tolist(), micro.targets_BT.tolist(), strict=True)
    ]


def test_shapes_and_targets(dataset: TokenDataset) -> None:
    with load(dataset, global_batch_size=12, micro_batch_size=3, data_parallel_size=2, data_parallel_rank=1) as loader:
        batch = next(loader)
    assert len(batch.microbatches) == 2
    assert (batch.first_sample, batch.sample_ids) == (0, range(6, 12))
    for micro in batch.microbatches:
        assert micro.tokens_BT.shape == micro.targets_BT.shape == (3, 12)
        assert micro.tokens_BT.dtype == micro.targets_BT.dtype == torch.int64
        assert torch.equal(micro.tokens_BT[:, 1:], micro.targets_BT[:, :-1])
        assert micro.document_ids_BT is None
    assert rows(batch) == dataset.samples(range(6, 12)).tolist()


@settings(deadline=None, max_examples=25)
@given(
    ranks=st.integers(1, 4),
    micro=st.integers(1, 3),
    passes=st.integers(1, 3),
    consumed=st.integers(0, 10**12),
    prefetch=st.integers(0, 3),
)
def test_ranks_together_read_exactly_the_samples_of_each_step(
    dataset: TokenDataset, ranks: int, micro: int, passes: int, consumed: int, prefetch: int
) -> None:
    size = ranks * micro * passes
    read: list[int] = []
    content: list[list[int]] = []
    loaders = [
        load(
            dataset,
            global_batch_size=size,
            micro_batch_size=micro,
            data_parallel_rank=rank,
            data_parallel_size=ranks,
            consumed_samples=consumed,
            prefetch_steps=prefetch,
        )
        for rank in range(ranks)
    ]
    for step in range(3):
        for loader in loaders:
            batch = next(loader)
            assert batch.first_sample == consumed + step * size
            read += batch.sample_ids
            content += rows(batch)
    for loader in loaders:
        loader.close()
        assert loader.consumed_samples == consumed + 3 * size
    assert read == list(range(consumed, consumed + 3 * size))
    assert content == dataset.samples(read).tolist()


def test_resume_at_any_point_with_any_batch_size(dataset: TokenDataset) -> None:
    """An epoch, read in four lives of different shape, is every window once."""
    read: list[list[int]] = []
    consumed = 0
    for size, ranks, steps in ((4, 1, 2), (6, 3, 1), (2, 2, 3), (1, 1, dataset.num_windows - 20)):
        loaders = [
            load(
                dataset,
                global_batch_size=size,
                micro_batch_size=1,
                data_parallel_rank=rank,
                data_parallel_size=ranks,
                consumed_samples=consumed,
            )
            for rank in range(ranks)
        ]
        for _ in range(steps):
            for loader in loaders:
                read += rows(next(loader))
        consumed = loaders[0].consumed_samples
        for loader in loaders:
            loader.close()
    assert consumed == dataset.num_windows
    assert read == dataset.samples(range(dataset.num_windows)).tolist()
    assert len({tuple(row) for row in read}) == dataset.num_windows


def test_document_ids(dataset: TokenDataset) -> None:
    # Documents of ten ids in windows of twelve: each window sees one to three documents.
    with load(dataset, document_mask=True) as loader:
        for micro in (micro for _ in range(8) for micro in next(loader).microbatches):
            assert micro.document_ids_BT is not None
            for tokens, ids in zip(micro.tokens_BT.tolist(), micro.document_ids_BT.tolist(), strict=True):
                expected, document = [], 0
                for position, token in enumerate(tokens):
                    document += token == 1 and position > 0
                    expected.append(document)
                assert ids == expected


@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_tokens_and_targets_may_be_changed_apart(dataset: TokenDataset, micro_batch_size: int) -> None:
    with load(dataset, micro_batch_size=micro_batch_size) as loader:
        micro = next(loader).microbatches[0]
    before = micro.tokens_BT.clone()
    micro.targets_BT.fill_(-100)
    assert torch.equal(micro.tokens_BT, before)
    assert micro.tokens_BT.is_contiguous()


def test_consumed_samples_counts_what_was_handed_out(dataset: TokenDataset) -> None:
    with load(dataset, prefetch_steps=3) as loader:
        assert loader.consumed_samples == 0
        for step, batch in zip(range(3), loader, strict=False):
            assert batch.first_sample == 4 * step
            assert loader.consumed_samples == 4 * (step + 1)


class Breaking:
    """A dataset that cannot read one sample."""

    def __init__(self, dataset: TokenDataset, bad: int) -> None:
        self.manifest = dataset.manifest
        self._dataset = dataset
        self._bad = bad

    def documents(self, indices: range) -> None:
        """Cut."""

    def samples(self, indices: range) -> np.ndarray[Any, np.dtype[np.int64]]:
        if self._bad in indices:
            raise UserError("the disk is gone")
        return self._dataset.samples(indices)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_reach_the_step_they_belong_to(dataset: TokenDataset, prefetch: int) -> None:
    with load(Breaking(dataset, 8), prefetch_steps=prefetch) as loader:  # type: ignore[arg-type]
        next(loader)
        next(loader)
        for _ in range(2):
            with pytest.raises(UserError, match="the disk is gone") as caught:
                next(loader)
            assert any(frame.name == "samples" for frame in traceback.extract_tb(caught.value.__traceback__))
            assert loader.consumed_samples == 8


def test_reading_ahead_happens_in_one_thread_that_ends(dataset: TokenDataset) -> None:
    def threads() -> int:
        return sum(thread.name.startswith("loader") for thread in threading.enumerate())

    with load(dataset, prefetch_steps=3) as loader:
        next(loader)
        assert threads() == 1
    assert threads() == 0
    with load(dataset, prefetch_steps=0) as loader:
        next(loader)
        assert threads() == 0


def test_batches_that_do_not_divide_are_refused(dataset: TokenDataset) -> None:
    with pytest.raises(ValueError, match="6 samples over 2 ranks by 2"):
        load(dataset, global_batch_size=6, data_parallel_size=2)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        load(dataset, data_parallel_rank=2, data_parallel_size=2)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_samples_that_are_left_out_are_in_no_batch(dataset: TokenDataset, prefetch: int) -> None:
    # One inside the other, as after two rewinds, and one that no batch of 8 begins at.
    left_out = [range(24, 56), range(16, 64), range(91, 93)]
    with load(dataset, global_batch_size=8, prefetch_steps=prefetch, left_out=left_out) as loader:
        found = [(next(loader).first_sample, loader.consumed_samples) for _ in range(6)]
    assert found == [(0, 8), (8, 16), (64, 72), (72, 80), (80, 88), (93, 101)]
    # From a position in the middle or at the beginning of what is left out, as a restart has it.
    for consumed, first in ((16, 64), (40, 64), (88, 93), (8, 8)):
        options = {"global_batch_size": 8, "left_out": left_out, "consumed_samples": consumed}
        with load(dataset, prefetch_steps=prefetch, **options) as loader:
            assert next(loader).first_sample == first


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_loader_that_goes_elsewhere_is_as_one_that_was_made_there(dataset: TokenDataset, prefetch: int) -> None:
    left_out = [range(16, 48)]
    with (
        load(dataset, prefetch_steps=prefetch) as moved,
        load(dataset, prefetch_steps=prefetch, consumed_samples=8, left_out=left_out) as made,
    ):
        for _ in range(5):
            next(moved)
        moved.seek(8, left_out)
        for _ in range(4):
            one, other = next(moved), next(made)
            assert one.first_sample == other.first_sample
            assert moved.consumed_samples == made.consumed_samples
            pairs = zip(one.microbatches, other.microbatches, strict=True)
            assert all(torch.equal(a.tokens_BT, b.tokens_BT) for a, b in pairs)
