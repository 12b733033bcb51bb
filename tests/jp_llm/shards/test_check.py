from pathlib import Path

import numpy as np
import pytest

from jp_llm.runtime.errors import UserError
from jp_llm.shards.check import CheckShardsConfig, run
from jp_llm.shards.manifest import DatasetManifest, TokenizerRecord
from jp_llm.shards.writer import ShardWriter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "shards/web/train-00000", "uint16") as writer:
        writer.add(np.array([1, 7, 2]), characters=1, num_bytes=3)
    tokenizer = TokenizerRecord(
        "tokenizer", "ab", "sentencepiece", "0.2.3", 100, unk_id=0, bos_id=1, eos_id=2, pad_id=3
    )
    DatasetManifest(tokenizer, "uint16", "c0", {"web": {"train": (writer.manifest,)}}).save(tmp_path)
    return tmp_path


def test_intact_dataset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(CheckShardsConfig(path=str(folder)))
    (line,) = capsys.readouterr().out.splitlines()
    assert "1 shards of 1 sources, 3 tokens" in line
    assert "SHA-256 compared: all well" in line


def test_flipped_byte(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "shards/web/train-00000.bin"
    path.write_bytes(b"\x01\x00\x08\x00\x02\x00")
    run(CheckShardsConfig(path=str(folder), hashes=False))
    assert "sizes and headers compared: all well" in capsys.readouterr().out
    with pytest.raises(UserError, match="1 of 2 shard files differ"):
        run(CheckShardsConfig(path=str(folder)))
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}: its bytes have changed")
    assert last.endswith("compared: 1 wrong")


def test_path_is_asked_for() -> None:
    assert CheckShardsConfig().problems() == ["path: name the dataset folder, e.g. path=corpora/demo"]
