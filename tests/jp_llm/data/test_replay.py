from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.config.data import DataConfig
from jp_llm.data.blend import BLOCK_SAMPLES
from jp_llm.data.dataset import TokenDataset
from jp_llm.data.loader import Loader
from jp_llm.data.open import open_data
from jp_llm.data.replay import ReplayedDataset, evenly
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.shards.manifest import DatasetManifest

Make = Callable[..., tuple[Path, DatasetManifest]]
Parts = tuple[TokenDataset, TokenDataset]


def parts(make_dataset: Make, documents: Any = "cut", weights: dict[str, float] | None = None) -> Parts:
    """Ids from 100 to 2,100 are new, those from 10,100 on are old."""
    new = make_dataset({"poems": {"train": [90]}, "letters": {"train": [200]}})
    old = make_dataset({"books": {"train": [400]}}, first=10_100)
    options = {"split": "train", "seq_length": 8, "seed": 1, "documents": documents}
    return TokenDataset(*new, weights=weights, **options), TokenDataset(*old, prefix="replay/", **options)


@settings(deadline=None)
@given(replayed=st.integers(1, BLOCK_SAMPLES - 1), block=st.integers(0, 10**12), data=st.data())
def test_the_share_is_exact_in_every_block_and_nearly_everywhere(
    replayed: int, block: int, data: st.DataObject
) -> None:
    start = block * BLOCK_SAMPLES
    is_replayed, numbers = evenly(np.arange(start, start + BLOCK_SAMPLES), replayed)
    assert is_replayed.sum() == replayed
    first, last = sorted(data.draw(st.lists(st.integers(0, BLOCK_SAMPLES), min_size=2, max_size=2)))
    assert abs(is_replayed[first:last].sum() - (last - first) * replayed / BLOCK_SAMPLES) < 1
    # Either kind is numbered without gaps, over the borders of blocks.
    assert (numbers[is_replayed == 1] == block * replayed + np.arange(replayed)).all()
    others = BLOCK_SAMPLES - replayed
    assert (numbers[is_replayed == 0] == block * others + np.arange(others)).all()


@pytest.mark.parametrize("documents", ["cut", "whole"])
def test_either_dataset_goes_through_its_own_order(make_dataset: Make, documents: str) -> None:
    main, replay = parts(make_dataset, documents, weights={"poems": 3.0, "letters": 1.0})
    dataset = ReplayedDataset(main, replay, 0.25)
    rows = dataset.samples(range(400))
    is_old = rows.max(axis=1) >= 10_000
    assert is_old.sum() == 100
    assert (rows[is_old] == replay.samples(range(is_old.sum()))).all()
    assert (rows[~is_old] == main.samples(range((~is_old).sum()))).all()
    found = dataset.documents(range(400))
    if documents == "cut":
        assert found is None
    else:
        expected = replay.documents(range(is_old.sum()))
        assert found is not None
        assert expected is not None
        assert (found[is_old] == expected).all()
    assert dataset.predicted(range(400)) == main.predicted(range((~is_old).sum())) + replay.predicted(
        range(is_old.sum())
    )
    # A sample does not depend on company.
    assert (dataset.samples([17, 5]) == rows[[17, 5]]).all()


def test_sources_epochs_and_batches(make_dataset: Make) -> None:
    main, replay = parts(make_dataset)
    dataset = ReplayedDataset(main, replay, 0.25)
    assert dataset.sources == ("poems", "letters", "replay/books")
    assert dataset.epochs(4 * replay.num_windows)["replay/books"] == 1.0
    assert dataset.epochs(4 * main.num_windows)["poems"] == 3.0
    assert "25.0% of the samples from" in dataset.describe()
    found: Counter[int] = Counter()
    options = {"global_batch_size": 6, "micro_batch_size": 1, "data_parallel_size": 3}
    for rank in range(3):
        with Loader(dataset, data_parallel_rank=rank, **options) as loader:
            for _ in range(10):
                batch = next(loader)
                read = [row for micro in batch.microbatches for row in micro.tokens_BT.tolist()]
                assert read == dataset.samples(batch.sample_ids)[:, :-1].tolist()
                found.update(batch.sample_ids)
    assert found == Counter(range(60))


def test_the_fingerprint_knows_share_and_both_datasets(make_dataset: Make) -> None:
    main, replay = parts(make_dataset)
    other = TokenDataset(*make_dataset({"c": {"train": [90]}}), split="train", seq_length=8, seed=1, prefix="replay/")
    datasets = [ReplayedDataset(*both) for both in ((main, replay, 0.1), (main, replay, 0.2), (main, other, 0.1))]
    assert len({main.fingerprint, *(dataset.fingerprint for dataset in datasets)}) == 4


def open_both(make_dataset: Make, new: dict[str, Any], old: dict[str, Any], **changes: Any) -> Any:
    folder, manifest = make_dataset(new)
    path, _ = make_dataset(old, first=10_100)
    config = DataConfig.model_validate({"path": str(folder), "replay": {"path": str(path), "share": 0.2}, **changes})
    return open_data(config, manifest, seq_length=8, seed=1, hashes=False)


def test_held_out_text_of_both_is_evaluated(make_dataset: Make) -> None:
    both = {"train": [90], "validation": [40]}
    train, held_out = open_both(make_dataset, {"poems": both}, {"books": both})
    assert train.sources == held_out.sources == ("poems", "replay/books")
    rows, _ = held_out.evaluation_samples("replay/books", 3)
    assert rows.shape == (3, 9)
    assert rows.max() > 10_000
    assert held_out.measure("replay/books") == (40, 80, 240)
    _, held_out = open_both(make_dataset, {"poems": {"train": [90]}}, {"books": both})
    assert held_out.sources == ("replay/books",)
    _, held_out = open_both(make_dataset, {"poems": both}, {"books": {"train": [90]}})
    assert held_out.sources == ("poems",)
    _, held_out = open_both(make_dataset, {"poems": {"train": [90]}}, {"books": {"train": [90]}})
    assert held_out is None


def test_a_source_too_short_to_be_replayed_is_left_out_and_named(make_dataset: Make) -> None:
    old = {"books": {"train": [90]}, "notes": {"train": [5]}}
    train, _ = open_both(make_dataset, {"poems": {"train": [90]}}, old)
    assert train.sources == ("poems", "replay/books")
    assert "(without replay/notes: too short for one window)" in train.describe()
    with pytest.raises(UserError, match=r"data\.replay\.path: .*source 'notes' has 5 .*or name another folder"):
        open_both(make_dataset, {"poems": {"train": [90]}}, {"notes": {"train": [5]}})


def test_what_cannot_be_replayed_is_refused(make_dataset: Make, tmp_path: Path) -> None:
    folder, manifest = make_dataset({"poems": {"train": [90]}})
    other, theirs = make_dataset({"books": {"train": [90]}})
    replace(theirs, tokenizer=replace(theirs.tokenizer, fingerprint="another")).save(other)
    (other / "shards/books/train-00000.bin").unlink()
    config = DataConfig.model_validate({"path": str(folder), "replay": {"path": str(other)}})
    with pytest.raises(UserError) as caught:
        open_data(config, manifest, seq_length=8, seed=1, hashes=False)
    assert (
        f"data.replay.path: {other} was encoded with tokenizer another, {folder} with ab; " in caught.value.problems[0]
    )
    assert "tokenizer.path=" in caught.value.problems[0]
    assert "train-00000.bin: missing" in caught.value.problems[1]
    config = DataConfig.model_validate({"path": str(folder), "replay": {"path": str(tmp_path)}})
    with pytest.raises(UserError, match=r"data\.replay\.path: .*dataset\.json: no such file"):
        open_data(config, manifest, seq_length=8, seed=1, hashes=False)
    main, replay = parts(make_dataset)
    with pytest.raises(UserError, match=r"data\.replay\.share: 1e-09 is less than one") as refused:
        ReplayedDataset(main, replay, 1e-9)
    assert refused.value.code == ExitCode.CONFIG_REFUSED
