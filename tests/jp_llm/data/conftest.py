from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord
from jp_llm.shards.writer import ShardWriter

BOS, EOS = 1, 2
Texts = Mapping[str, Mapping[str, Sequence[int]]]
DatasetFactory = Callable[..., tuple[Path, DatasetManifest]]


def write_shard(folder: Path, name: str, tokens: int, first: int, dtype: str) -> ShardManifest:
    """One shard whose ids count on from `first`, so that a test sees where a token stood: documents of ten ids."""
    ids = np.arange(first, first + tokens)
    ids[::10] = BOS
    with ShardWriter(folder / name, dtype) as writer:
        for start in range(0, tokens, 10):
            document = ids[start : start + 10]
            writer.add(document, characters=2 * len(document), num_bytes=6 * len(document))
    return writer.manifest


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFactory:
    """Writes a dataset from {source: {split: [tokens of each shard]}}; ids count on from `first`, first + 1000, ... per
    source."""

    def make(
        sizes: Texts, vocab_size: int = 60_000, dtype: str = "uint16", first: int = 100
    ) -> tuple[Path, DatasetManifest]:
        folder = tmp_path_factory.mktemp("dataset")
        sources: dict[str, dict[str, tuple[ShardManifest, ...]]] = {}
        for number, (source, splits) in enumerate(sizes.items()):
            sources[source] = {}
            for split, shards in splits.items():
                starts = first + 1000 * number + np.cumsum([0, *shards])
                sources[source][split] = tuple(
                    write_shard(folder, f"shards/{source}/{split}-{index:05d}", tokens, int(starts[index]), dtype)
                    for index, tokens in enumerate(shards)
                )
        tokenizer = TokenizerRecord("tokenizer", "ab", "sentencepiece", "0.2.3", vocab_size, 0, BOS, EOS, 3)
        manifest = DatasetManifest(tokenizer, dtype, "c0", sources)
        manifest.save(folder)
        return folder, manifest

    return make
