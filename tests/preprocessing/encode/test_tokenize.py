import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from other_tokenizers import FAMILIES, write
from small_tokenizer import small_tokenizer, texts, write_documents
from tokenizers import Tokenizer as Backend
from tokenizers import models

from jp_llm.runtime.errors import UserError
from jp_llm.shards.reader import ShardReader
from jp_llm.tokenizer.adopt import adopt
from jp_llm.tokenizer.manifest import MANIFEST_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.tokenize import encode_file


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def shard_texts(prefix: Path, tokenizer: Tokenizer) -> list[str]:
    """The texts of a shard in its order; every document must stand between <s> and </s>."""
    reader = ShardReader(prefix)
    found = []
    for index in range(reader.num_documents):
        ids = reader.document(index).tolist()
        assert (ids[0], ids[-1]) == (tokenizer.bos_id, tokenizer.eos_id)
        assert not {tokenizer.bos_id, tokenizer.eos_id} & set(ids[1:-1])
        found.append(tokenizer.decode(ids))
    return found


def test_a_shard_holds_every_document_once(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = [*texts(300, seed=4), "", "\n", "同じ文書。", "同じ文書。", "長い文書。" * 60_000]
    path = write_documents(tmp_path / "web" / "train-00000-000.jsonl.zst", documents)
    manifest = encode_file(path, tokenizer, tmp_path / "shards" / "web" / "train-00000")
    found = shard_texts(tmp_path / "shards" / "web" / "train-00000", tokenizer)
    assert sorted(found) == sorted(documents)
    assert found != documents, "not shuffled"
    assert manifest.name == "shards/web/train-00000"
    assert manifest.documents == len(documents)
    assert manifest.characters == sum(map(len, documents))
    assert manifest.bytes == sum(len(text.encode()) for text in documents)
    assert manifest.tokens == sum(len(tokenizer.encode(text)) + 2 for text in documents)
    assert manifest.dtype == "uint16"


def test_the_order_depends_on_content_alone(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = texts(100, seed=5)
    manifests = []
    for name, order in (("a", documents), ("b", documents[::-1])):
        path = write_documents(tmp_path / f"{name}.jsonl.zst", order)
        manifests.append(encode_file(path, tokenizer, tmp_path / name))
    assert manifests[0].bin_sha256 == manifests[1].bin_sha256
    assert manifests[0].idx_sha256 == manifests[1].idx_sha256


def test_the_order_has_no_trend(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = [f"文書の番号は{number}です。" for number in range(1000)]
    path = write_documents(tmp_path / "a.jsonl.zst", documents)
    encode_file(path, tokenizer, tmp_path / "a")
    places = [documents.index(text) for text in shard_texts(tmp_path / "a", tokenizer)]
    assert abs(np.corrcoef(places, np.arange(1000))[0, 1]) < 0.1


def test_a_file_without_documents_is_a_shard_without_documents(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write_documents(tmp_path / "a.jsonl.zst", [])
    manifest = encode_file(path, tokenizer, tmp_path / "a")
    assert (manifest.documents, manifest.tokens) == (0, 0)


def test_a_damaged_file_leaves_no_shard(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write_documents(tmp_path / "a.jsonl.zst", texts(200))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="cut off"):
        encode_file(path, tokenizer, tmp_path / "shards" / "a")
    assert not (tmp_path / "shards").exists()


def test_shards_are_not_written_with_another_version_of_the_package(tmp_path: Path, tokenizer: Tokenizer) -> None:
    for file in tokenizer.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = tmp_path / MANIFEST_FILE
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"package_version": "0.1.99"}))
    path = write_documents(tmp_path / "a.jsonl.zst", texts(2))
    with pytest.raises(UserError, match=r"install sentencepiece==0\.1\.99"):
        encode_file(path, Tokenizer.load(tmp_path), tmp_path / "a")


def test_one_process_takes_one_core(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, found = type(tokenizer).encode_batch, []

    def encode_batch(self: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        found.append(os.environ["TOKENIZERS_PARALLELISM"])
        return encode(self, texts)

    monkeypatch.setattr(type(tokenizer), "encode_batch", encode_batch)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    encode_file(write_documents(tmp_path / "a.jsonl.zst", ["一"]), tokenizer, tmp_path / "a")
    assert found == ["false"]
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


@pytest.mark.parametrize("family", FAMILIES)
def test_shards_of_other_tokenizers_are_read_back(tmp_path: Path, family: str) -> None:
    tokenizer = adopt(FAMILIES[family](tmp_path / "source"), tmp_path / "tokenizer")
    documents = [*texts(60, seed=7), "", "猫</s><|endoftext|>犬"]
    path = write_documents(tmp_path / "a.jsonl.zst", documents)
    manifest = encode_file(path, tokenizer, tmp_path / "a")
    reader = ShardReader(tmp_path / "a")
    found = [reader.document(index).tolist() for index in range(reader.num_documents)]
    framing = {"open_calm": [0], "llama": [1, 2], "rinna": [1, 2]}[family]
    control = set(framing)
    for ids in found:
        assert ids[0] == framing[0]
        assert ids[len(ids) - len(framing) + 1 :] == framing[1:]
        assert [token for token in ids if token in control] == framing, "one start, one end, none inside"
    expected = [tokenizer.decode(tokenizer.encode(text)) for text in documents]
    assert sorted(map(tokenizer.decode, found)) == sorted(expected)
    if family != "rinna":
        assert expected == documents
    assert manifest.tokens == sum(map(len, found))
    assert manifest.tokens == sum(len(tokenizer.encode(text)) + len(framing) for text in documents)
    assert manifest.characters == sum(map(len, documents))


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    vocabulary = {"</s>": 0, "一": 1, "🐈": 69_999}  # ids between them are not used
    source = write(tmp_path / "source", Backend(models.BPE(vocabulary, [])), eos_token="</s>")
    tokenizer = adopt(source, tmp_path / "tokenizer")
    path = write_documents(tmp_path / "a.jsonl.zst", ["🐈一🐈"])
    manifest = encode_file(path, tokenizer, tmp_path / "a")
    assert (tokenizer.vocab_size, manifest.dtype, manifest.bin_bytes) == (70_000, "int32", 4 * 4)
    assert ShardReader(tmp_path / "a").document(0).tolist() == [0, 69_999, 1, 69_999]
