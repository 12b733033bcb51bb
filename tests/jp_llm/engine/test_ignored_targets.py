"""Packed whole documents on every kind of layout, against plain PyTorch that sees each document alone."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gloo import Processes
from tiny import VOCAB_SIZE, run_config
from torch import Tensor
from training import (
    RATES,
    History,
    build_engine,
    canonical_weights,
    merged,
    owned_weights,
    plain_optimizer,
    plain_update,
)

from jp_llm.config.data import IGNORED
from jp_llm.config.run import RunConfig
from jp_llm.data.dataset import TokenDataset
from jp_llm.data.loader import Batch, Loader
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.shards.manifest import DatasetManifest, TokenizerRecord
from jp_llm.shards.writer import ShardWriter
from jp_llm.train.evaluate import evaluate

BOS, EOS, PAD = 1, 2, 3
STEPS = 3
LENGTHS = (2, 3, 4, 5, 6, 7, 9, 12, 17, 18, 30)
"""Of documents; windows hold 17 tokens."""


def write_documents(folder: Path) -> None:
    chance = np.random.default_rng(5)
    found = {}
    for split in ("train", "validation"):
        with ShardWriter(folder / f"shards/web/{split}-00000", "uint16") as writer:
            for length in chance.choice(LENGTHS, 60).tolist():
                ids = np.array([BOS, *chance.integers(4, VOCAB_SIZE, length - 2), EOS], np.uint16)
                writer.add(ids, characters=2 * length, num_bytes=6 * length)
        found[split] = (writer.manifest,)
    tokenizer = TokenizerRecord("tokenizer", "ab", "sentencepiece", "0.2.3", VOCAB_SIZE, 0, BOS, EOS, PAD)
    DatasetManifest(tokenizer, "uint16", "c0", {"web": found}).save(folder)


def dataset_of(config: RunConfig, split: str = "train") -> TokenDataset:
    folder = Path(config.data.path)
    manifest = DatasetManifest.load(folder)
    return TokenDataset(
        folder, manifest, split=split, seq_length=config.seq_length, seed=config.seed, documents=config.data.documents
    )


def loader_of(config: RunConfig, rank: int = 0, ranks: int = 1) -> Loader:
    return Loader(
        dataset_of(config),
        global_batch_size=config.train.global_batch_size,
        micro_batch_size=config.train.micro_batch_size,
        data_parallel_rank=rank,
        data_parallel_size=ranks,
        document_mask=config.model.document_mask,
    )


def documents_of(batch: Batch) -> list[Tensor]:
    """The documents of a batch, each alone and without padding: token ids, the first of which is not predicted."""
    found = []
    for micro in batch.microbatches:
        assert micro.document_ids_BT is not None
        for tokens, targets, numbers in zip(micro.tokens_BT, micro.targets_BT, micro.document_ids_BT, strict=True):
            for number in range(int(numbers.max()) + 1):
                inside = (numbers == number) & (targets != IGNORED)
                found.append(torch.cat((tokens[inside], targets[inside][-1:])))
    return found


def plain_training(config: RunConfig) -> tuple[History, dict[str, Tensor]]:
    """History and final canonical weights: every document is a forward pass of its own."""
    decoder = Decoder(config.model)
    initialize(decoder, config.model, config.seed)
    optimizer = plain_optimizer(decoder, config)
    history = []
    with loader_of(config) as loader:
        for step in range(STEPS):
            documents = documents_of(next(loader))
            count = sum(len(ids) - 1 for ids in documents)
            losses = [
                F.cross_entropy(decoder.logits(decoder(ids[None, :-1]))[0], ids[1:], reduction="sum")
                for ids in documents
            ]
            loss = torch.stack(losses).sum() / count
            history.append((loss.item(), plain_update(decoder, optimizer, config, loss, step)))
    return history, canonical_weights(decoder)


def engine_training(overrides: dict[str, Any]) -> tuple[History, dict[str, Tensor], list[int]]:
    config = run_config(**overrides)
    engine = build_engine(config)
    history, counted = [], []
    with loader_of(config, engine.grid.data_rank, engine.grid.layout.data) as loader:
        for step in range(STEPS):
            result = engine.train_step(next(loader), RATES[step])
            history.append((result.loss, result.grad_norm))
            counted.append(result.predicted_tokens)
    return history, owned_weights(engine), counted


def all_layouts(cases: list[dict[str, Any]]) -> list[tuple[History, dict[str, Tensor], list[int]]]:
    return [engine_training(case) for case in cases]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("documents")
    write_documents(path)
    return path


def overrides_of(folder: Path, arch: str, zero_stage: int, tensor: int, pipeline: int) -> dict[str, Any]:
    return {
        "model__arch": arch,
        "data": {"path": str(folder), "documents": "whole"},
        "parallel": {"zero_stage": zero_stage, "tensor": tensor, "pipeline": pipeline},
        # As long as the documents: gpt2 has learned positions.
        "model__max_position_embeddings": 16,
        "optim__gradient_clipping": 0.2,
    }


@cache
def expected(folder: Path, arch: str) -> tuple[History, dict[str, Tensor]]:
    return plain_training(run_config(**overrides_of(folder, arch, 0, 1, 1)))


def check(processes: Processes, folder: Path, cases: list[tuple[str, int, int, int]]) -> None:
    by_rank = processes.run(all_layouts, [overrides_of(folder, *case) for case in cases])
    for index, case in enumerate(cases):
        history, weights = expected(folder, case[0])
        config = run_config(**overrides_of(folder, *case))
        with loader_of(config) as loader:
            targets = [torch.cat([micro.targets_BT for micro in next(loader).microbatches]) for _ in range(STEPS)]
        counted = [int((found != IGNORED).sum()) for found in targets]
        # The halves of a batch, which are the data ranks, predict a different number of tokens.
        assert any((half[0] != IGNORED).sum() != (half[1] != IGNORED).sum() for half in (t.chunk(2) for t in targets))
        for found, _, numbers in (results[index] for results in by_rank):
            assert numbers == counted
            torch.testing.assert_close(torch.tensor(found), torch.tensor(history), rtol=1e-5, atol=0, msg=str(case))
        whole = merged([results[index][1] for results in by_rank])
        for name, values in weights.items():
            torch.testing.assert_close(whole[name], values, rtol=1e-5, atol=1e-5, msg=f"{case}, {name}")
        assert min(norm for _, norm in history) > config.optim.gradient_clipping


@pytest.mark.distributed
def test_one_process_learns_from_a_packed_window_what_its_documents_teach_alone(
    folder: Path, one_process: Processes
) -> None:
    check(one_process, folder, [("gpt2", 1, 1, 1)])


@pytest.mark.distributed
def test_so_do_two_data_tensor_or_pipeline_ranks(folder: Path, two_processes: Processes) -> None:
    cases = [("llama", 3, 1, 1), ("llama", 1, 2, 1), ("gpt2", 0, 1, 2)]
    check(two_processes, folder, cases)


class _Preflight:
    """What an evaluation asks."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.validation_data = dataset_of(config, "validation")
        self.evaluated_sources = ("web",)


def evaluated(overrides: dict[str, Any]) -> dict[str, Any]:
    config = run_config(**overrides)
    return evaluate(build_engine(config), _Preflight(config))  # type: ignore[arg-type]


@pytest.mark.distributed
def test_held_out_loss_is_that_of_each_document_alone(folder: Path, two_processes: Processes) -> None:
    overrides = overrides_of(folder, "llama", 0, 1, 1) | {"train__eval_samples": 1000, "train__micro_batch_size": 2}
    config = run_config(**overrides)
    decoder = Decoder(config.model)
    initialize(decoder, config.model, config.seed)
    manifest = DatasetManifest.load(folder)
    ids = np.fromfile(folder / "shards/web/validation-00000.bin", np.uint16).astype(np.int64)
    total = predicted = 0.0
    for document in np.split(ids, np.flatnonzero(ids == BOS)[1:]):
        for start in range(0, len(document) - 1, config.seq_length):
            piece = torch.from_numpy(document[start : start + config.seq_length + 1])
            logits = decoder.logits(decoder(piece[None, :-1]))[0]
            total += F.cross_entropy(logits, piece[1:], reduction="sum").item()
            predicted += len(piece) - 1
    bits = total / np.log(2)
    for found in two_processes.run(evaluated, overrides):
        assert found["web"]["loss"] == pytest.approx(total / predicted, rel=1e-5)
        # All of the held-out text was read, so its characters are exactly those of the manifest.
        assert found["web"]["bits_per_character"] == pytest.approx(
            bits / manifest.characters("validation", "web"), rel=1e-5
        )
