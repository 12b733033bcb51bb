import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord
from jp_llm.shards.writer import ShardWriter

TOKENIZER = TokenizerRecord("tokenizer", "ab12", "sentencepiece", "0.2.3", 1000, unk_id=0, bos_id=1, eos_id=2, pad_id=3)


def shard(folder: Path, name: str, documents: int) -> ShardManifest:
    with ShardWriter(folder / name, "uint16") as writer:
        for number in range(documents):
            writer.add(np.array([1, 10 + number, 2]), characters=5, num_bytes=15)
    return writer.manifest


@pytest.fixture
def manifest(tmp_path: Path) -> DatasetManifest:
    sources = {
        "web": {
            "train": (shard(tmp_path, "shards/web/train-00000", 4), shard(tmp_path, "shards/web/train-00001", 3)),
            "validation": (shard(tmp_path, "shards/web/validation-00000", 1),),
        },
        "aozora": {"train": (shard(tmp_path, "shards/aozora/train-00000", 2),), "validation": ()},
    }
    return DatasetManifest(TOKENIZER, "uint16", "c0ffee", sources)


def test_saved_and_loaded(tmp_path: Path, manifest: DatasetManifest) -> None:
    manifest.save(tmp_path)
    loaded = DatasetManifest.load(tmp_path)
    assert loaded == manifest
    assert list(loaded.sources) == ["web", "aozora"]
    written = json.loads((tmp_path / "dataset.json").read_text())
    assert written["format"] == 1
    assert written["tokenizer"]["bos_id"] == 1
    assert written["sources"]["web"]["train"][1]["name"] == "shards/web/train-00001"


def test_manifests_of_earlier_versions_are_read(tmp_path: Path, manifest: DatasetManifest) -> None:
    value = manifest.to_json()
    record = value["tokenizer"]
    record["library"], record["library_version"] = record.pop("package"), record.pop("package_version")
    (tmp_path / "dataset.json").write_text(json.dumps(value))
    assert DatasetManifest.load(tmp_path) == manifest


@pytest.mark.parametrize(("bos", "eos", "start"), [(None, 5, 5), (0, 0, 0), (0, 5, 0), (7, None, 7)])
def test_special_ids_may_be_absent(
    tmp_path: Path, manifest: DatasetManifest, bos: int | None, eos: int | None, start: int
) -> None:
    record = replace(manifest.tokenizer, unk_id=None, pad_id=None, bos_id=bos, eos_id=eos)
    replace(manifest, tokenizer=record).save(tmp_path)
    loaded = DatasetManifest.load(tmp_path)
    assert loaded.tokenizer == record
    assert loaded.tokenizer.start_id == start


def test_sums(manifest: DatasetManifest) -> None:
    assert manifest.documents("train") == 9
    assert manifest.tokens("train") == 27
    assert manifest.tokens("train", "aozora") == 6
    assert manifest.characters("validation", "web") == 5
    assert manifest.bytes("train", "web") == 105
    assert manifest.tokens("validation", "aozora") == 0
    assert [each.name[-11:] for each in manifest.shards("train", "web")] == ["train-00000", "train-00001"]


def test_fingerprint_knows_tokenizer_bytes_and_order(manifest: DatasetManifest) -> None:
    web, aozora = manifest.sources["web"], manifest.sources["aozora"]
    first, second = web["train"]
    others = [
        replace(manifest, tokenizer=replace(TOKENIZER, fingerprint="ff")),
        replace(manifest, sources={"web": {**web, "train": (second, first)}, "aozora": aozora}),
        replace(manifest, sources={"aozora": aozora, "web": web}),
        replace(
            manifest, sources={"web": {**web, "train": (first, replace(second, bin_sha256="0"))}, "aozora": aozora}
        ),
        replace(manifest, sources={"web": web}),
    ]
    assert len({manifest.fingerprint, *(other.fingerprint for other in others)}) == 6
    assert replace(manifest, corpus_config_sha256="other").fingerprint == manifest.fingerprint


def test_intact_files(tmp_path: Path, manifest: DatasetManifest) -> None:
    assert manifest.check_files(tmp_path, hashes=True) == []


def test_damaged_files_are_named(tmp_path: Path, manifest: DatasetManifest) -> None:
    web = tmp_path / "shards/web"
    (web / "train-00000.bin").unlink()
    (web / "train-00001.bin").write_bytes(b"x")
    (web / "validation-00000.idx").write_bytes(b"\x00" * (web / "validation-00000.idx").stat().st_size)
    problems = manifest.check_files(tmp_path, hashes=False)
    assert [problem.split(": ")[0] for problem in problems] == [
        str(web / "train-00000.bin"),
        str(web / "train-00001.bin"),
        str(web / "validation-00000.idx"),
    ]
    assert "missing" in problems[0]
    assert "1 bytes, but the manifest says 18" in problems[1]
    assert "not an MMIDIDX index" in problems[2]
    assert all("run launch/preprocess.py again" in problem for problem in problems)


@pytest.mark.parametrize("suffix", ["bin", "idx"])
def test_one_flipped_bit_is_found_by_its_hash(tmp_path: Path, manifest: DatasetManifest, suffix: str) -> None:
    path = tmp_path / f"shards/aozora/train-00000.{suffix}"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert manifest.check_files(tmp_path, hashes=False) == []
    (problem,) = manifest.check_files(tmp_path, hashes=True)
    assert str(path) in problem
    assert "its bytes have changed" in problem


def test_unreadable_file_is_a_problem_not_a_crash(tmp_path: Path, manifest: DatasetManifest) -> None:
    path = tmp_path / "shards/aozora/train-00000.bin"
    path.unlink()
    path.symlink_to(path)
    (problem,) = manifest.check_files(tmp_path, hashes=False)
    assert f"{path}: cannot be read" in problem


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/dataset.json: no such file; name the output folder"):
        DatasetManifest.load(tmp_path / "nowhere")


def edited(value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**value, **changes}


def test_strange_manifests_are_refused(tmp_path: Path, manifest: DatasetManifest) -> None:
    good = manifest.to_json()
    first = good["sources"]["aozora"]["train"][0]

    def with_shards(*shards: Any) -> dict[str, Any]:
        return edited(good, sources={"aozora": {"train": list(shards)}})

    for value, message in [
        ([], "not a dataset manifest of format 1"),
        (edited(good, format=2), "not a dataset manifest of format 1"),
        ({key: good[key] for key in good if key != "sources"}, "missing: sources"),
        (edited(good, extra=1), "unknown: extra"),
        (edited(good, sources=[]), "sources: must be"),
        (edited(good, sources={"aozora": []}), "sources: must be"),
        (edited(good, dtype="int64"), "dtype: 'int64' is none of uint16, int32"),
        (edited(good, dtype=[]), r"dtype: \[\] is none of uint16, int32"),
        (edited(good, dtype="int32"), "dtype: int32, but shards/web/train-00000 holds uint16"),
        (edited(good, tokenizer=edited(good["tokenizer"], bos_id="1")), "bos_id: a count expected, found '1'"),
        (edited(good, tokenizer=edited(good["tokenizer"], pad_id=-1)), "pad_id: a count expected, found -1"),
        (
            edited(good, tokenizer=edited(good["tokenizer"], vocab_size=None)),
            "vocab_size: a count expected, found None",
        ),
        (
            edited(good, tokenizer=edited(good["tokenizer"], bos_id=None, eos_id=None)),
            "tokenizer: bos_id and eos_id are both null",
        ),
        (edited(good, tokenizer=None), "an object with folder, fingerprint"),
        (with_shards(first, first), "shards/aozora/train-00000 is listed twice"),
        (with_shards(edited(first, tokens=-6)), "tokens: a count expected, found -6"),
        (with_shards(edited(first, tokens=True)), "tokens: a count expected"),
        (with_shards(edited(first, tokens=7)), "bin_bytes: 12 cannot hold 7 uint16 tokens"),
        (with_shards(edited(first, name=7)), "name: a string expected"),
    ]:
        (tmp_path / "dataset.json").write_text(json.dumps(value))
        with pytest.raises(UserError, match=rf"dataset.json: {message}.*run launch/preprocess.py again"):
            DatasetManifest.load(tmp_path)


def test_half_a_manifest_is_refused(tmp_path: Path, manifest: DatasetManifest) -> None:
    manifest.save(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=r"dataset\.json: "):
        DatasetManifest.load(tmp_path)
