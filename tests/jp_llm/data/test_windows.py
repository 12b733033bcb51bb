"""Whole documents: what a model is taught in one epoch is every document, each once, and nothing across its ends."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jp_llm.config.data import IGNORED
from jp_llm.data.dataset import TokenDataset
from jp_llm.data.loader import Loader, Microbatch
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest, TokenizerRecord
from jp_llm.shards.writer import ShardWriter

BOS, EOS, PAD = 1, 2, 3
Documents = Sequence[Sequence[int]]


def write(
    folder: Path, shards: Sequence[Documents], *, bos_id: int = BOS, pad_id: int = PAD, split: str = "train"
) -> DatasetManifest:
    """A dataset of one source with these documents."""
    found = []
    for index, documents in enumerate(shards):
        with ShardWriter(folder / f"shards/web/{split}-{index:05d}", "uint16") as writer:
            for ids in documents:
                writer.add(np.array(ids, np.uint16), characters=2 * len(ids), num_bytes=6 * len(ids))
        found.append(writer.manifest)
    tokenizer = TokenizerRecord("tokenizer", "ab", "sentencepiece", "0.2.3", 60_000, 0, bos_id, EOS, pad_id)
    return DatasetManifest(tokenizer, "uint16", "c0", {"web": {split: tuple(found)}})


def written(lengths: Sequence[Sequence[int]], *, closed: bool = False) -> list[list[list[int]]]:
    """Documents by shard: `<s>`, then ids that occur once in all, then `</s>`; closed ones begin with `</s>` only."""
    next_id = 100
    shards = []
    for documents in lengths:
        shards.append([])
        for length in documents:
            ids = list(range(next_id, next_id + length))
            next_id += length
            if ids:
                ids[0] = EOS if closed else BOS
            if length > 1 and not closed:
                ids[-1] = EOS
            shards[-1].append(ids)
    return shards


def taught(micro: Microbatch) -> list[tuple[int, ...]]:
    """For every target that counts: all that attention sees of its document, and the target behind it."""
    assert micro.document_ids_BT is not None
    found = []
    for tokens, targets, documents in zip(
        micro.tokens_BT.tolist(), micro.targets_BT.tolist(), micro.document_ids_BT.tolist(), strict=True
    ):
        for place, target in enumerate(targets):
            if target != IGNORED:
                seen = [tokens[i] for i in range(place + 1) if documents[i] == documents[place]]
                found.append((*seen, target))
    return found


def expected(document: Sequence[int], seq_length: int) -> list[tuple[int, ...]]:
    """The same of one document: what is too long begins anew every seq_length tokens."""
    return [tuple(document[(place - 1) // seq_length * seq_length : place + 1]) for place in range(1, len(document))]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.lists(st.integers(1, 40), max_size=6), min_size=1, max_size=3),
    seq_length=st.integers(1, 30),
    closed=st.booleans(),
    batch=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_an_epoch_teaches_every_token_of_every_document_exactly_once(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[list[int]],
    seq_length: int,
    closed: bool,
    batch: int,
    epoch: int,
) -> None:
    folder = tmp_path_factory.mktemp("whole")
    shards = written(lengths, closed=closed)
    manifest = write(folder, shards, bos_id=EOS if closed else BOS)
    documents = [[*ids, EOS] if closed else ids for shard in shards for ids in shard]
    wanted = Counter(context for ids in documents for context in expected(ids, seq_length))
    if not wanted:
        with pytest.raises(UserError):
            TokenDataset(folder, manifest, split="train", seq_length=seq_length, seed=1, documents="whole")
        return
    dataset = TokenDataset(folder, manifest, split="train", seq_length=seq_length, seed=1, documents="whole")
    first = epoch * dataset.num_windows
    found: Counter[tuple[int, ...]] = Counter()
    predicted = 0
    # Batch by batch, and what is left, so that the epoch ends where it ends.
    options = {"micro_batch_size": 1, "data_parallel_rank": 0, "data_parallel_size": 1, "prefetch_steps": 0}
    while first < (epoch + 1) * dataset.num_windows:
        size = min(batch, (epoch + 1) * dataset.num_windows - first)
        with Loader(dataset, global_batch_size=size, consumed_samples=first, document_mask=True, **options) as loader:
            step = next(loader)
        for micro in step.microbatches:
            found.update(taught(micro))
        assert step.predicted_tokens is not None
        predicted += step.predicted_tokens
        first += size
    assert found == wanted
    assert predicted == wanted.total()
    assert dataset.epochs(dataset.num_windows) == {"web": 1.0}
    assert dataset.measure("web").tokens == predicted


def test_two_documents_and_padding_in_one_window(tmp_path: Path) -> None:
    manifest = write(tmp_path, [[[BOS, 10, 11, EOS], [BOS, 20, EOS]]])
    dataset = TokenDataset(tmp_path, manifest, split="train", seq_length=9, seed=1, documents="whole")
    assert dataset.samples([0]).tolist() == [[BOS, 10, 11, EOS, BOS, 20, EOS, PAD, PAD, PAD]]
    documents = dataset.documents([0])
    assert documents is not None
    assert documents.tolist() == [[0, 0, 0, 0, 1, 1, 1, -1, -1, -1]]
    micro = Microbatch.of(torch.from_numpy(dataset.samples([0])), BOS, torch.from_numpy(documents))
    ignored = IGNORED
    assert micro.targets_BT.tolist() == [[10, 11, EOS, ignored, 20, EOS, ignored, ignored, ignored]]
    assert dataset.describe() == f"{tmp_path}: 5 tokens in whole documents, which fill 55.6% of the windows"


@pytest.mark.parametrize("pad_id", [-1, 60_000])
def test_without_a_padding_token_windows_are_padded_with_the_end(tmp_path: Path, pad_id: int) -> None:
    manifest = write(tmp_path, [[[BOS, 10, EOS]]], pad_id=pad_id)
    dataset = TokenDataset(tmp_path, manifest, split="train", seq_length=4, seed=1, documents="whole")
    assert dataset.samples([0]).tolist() == [[BOS, 10, EOS, EOS, EOS]]


def test_the_choice_is_in_the_fingerprint_and_cut_documents_keep_theirs(tmp_path: Path) -> None:
    manifest = write(tmp_path, [[[BOS, *range(10, 40), EOS]]])
    options = {"split": "train", "seq_length": 8, "seed": 1}
    plain, cut, whole = (
        TokenDataset(tmp_path, manifest, **options, **more)  # type: ignore[arg-type]
        for more in ({}, {"documents": "cut"}, {"documents": "whole"})
    )
    assert plain.fingerprint == cut.fingerprint != whole.fingerprint
    assert cut.documents([0]) is None
    assert cut.predicted([0, 1, 2]) == 24


def test_held_out_windows_are_a_fixed_choice_of_all_lengths(tmp_path: Path) -> None:
    lengths = [*[30] * 20, *[5] * 120]
    manifest = write(tmp_path, written([lengths]), split="validation")
    dataset = TokenDataset(tmp_path, manifest, split="validation", seq_length=29, seed=1, documents="whole")
    rows, documents = dataset.evaluation_samples("web", 20)
    again, _ = TokenDataset(
        tmp_path, manifest, split="validation", seq_length=29, seed=9, documents="whole"
    ).evaluation_samples("web", 20)
    assert documents is not None
    assert (rows == again).all()
    assert len({row.tobytes() for row in rows}) == 20
    # Windows lie by length; the first twenty are those of the longest documents.
    longest = (documents.max(axis=1) == 0).sum()
    assert 4 <= longest <= 16


def test_a_token_beyond_the_vocabulary_is_named_in_a_piece(tmp_path: Path) -> None:
    manifest = write(tmp_path, [[[BOS, 10, EOS]], [[BOS, 10, 11, EOS]]])
    ids = np.fromfile(tmp_path / "shards/web/train-00001.bin", np.uint16)
    ids[2] = 60_001
    ids.tofile(tmp_path / "shards/web/train-00001.bin")
    dataset = TokenDataset(tmp_path, manifest, split="train", seq_length=8, seed=1, documents="whole")
    with pytest.raises(UserError, match=r"train-00001\.bin: id 60001 at token 2"):
        dataset.samples([0])


def test_an_index_that_is_absent_is_named(tmp_path: Path) -> None:
    manifest = write(tmp_path, [[[BOS, 10, EOS]]])
    (tmp_path / "shards/web/train-00000.idx").unlink()
    with pytest.raises(UserError, match=r"train-00000\.idx: missing"):
        TokenDataset(tmp_path, manifest, split="train", seq_length=8, seed=1, documents="whole")


def test_documents_in_which_nothing_is_predicted_fill_no_window(tmp_path: Path) -> None:
    manifest = write(tmp_path, [[[BOS], [BOS]]])
    with pytest.raises(UserError, match="source 'web' has no train document in which a token is predicted"):
        TokenDataset(tmp_path, manifest, split="train", seq_length=8, seed=1, documents="whole")
