import json
from pathlib import Path

import numpy as np
import pytest
from small_tokenizer import small_tokenizer, texts, write_documents

from jp_llm.runtime.errors import UserError
from jp_llm.shards.reader import ShardReader
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
