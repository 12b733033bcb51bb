import errno
import hashlib
import json
import re
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jp_llm.shards.writer as writer_module
from jp_llm.runtime.errors import UserError
from jp_llm.shards.format import idx_size
from jp_llm.shards.writer import ShardWriter

DOCUMENTS = [[1, 700, 2], [1, 2], [1, 5, 6, 7, 2]]


def write(prefix: Path, documents: list[list[int]] = DOCUMENTS, dtype: str = "uint16") -> ShardWriter:
    with ShardWriter(prefix, dtype) as writer:
        for ids in documents:
            writer.add(np.array(ids), characters=len(ids), num_bytes=3 * len(ids))
    return writer


def parse(prefix: Path) -> tuple[list[list[int]], list[int]]:
    """Documents and document index, read after the published layout and with nothing of ours."""
    index = Path(f"{prefix}.idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, boundaries = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1
    letter, item = {8: ("H", 2), 4: ("i", 4)}[code]
    sizes = struct.unpack_from(f"<{sequences}i", index, 34)
    pointers = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
    document_index = struct.unpack_from(f"<{boundaries}q", index, 34 + 12 * sequences)
    assert len(index) == 34 + 12 * sequences + 8 * boundaries
    data = Path(f"{prefix}.bin").read_bytes()
    assert len(data) == item * sum(sizes)
    found = [list(struct.unpack_from(f"<{size}{letter}", data, at)) for size, at in zip(sizes, pointers, strict=True)]
    return found, list(document_index)


def test_golden_bytes(tmp_path: Path) -> None:
    write(tmp_path / "train-00000")
    assert (tmp_path / "train-00000.bin").read_bytes() == bytes.fromhex(
        "0100 bc02 0200  0100 0200  0100 0500 0600 0700 0200"
    )
    assert (tmp_path / "train-00000.idx").read_bytes() == bytes.fromhex(
        "4d4d494449445800 00"  # MMIDIDX
        "0100000000000000 08"  # version, uint16
        "0300000000000000 0400000000000000"  # sequences, documents + 1
        "03000000 02000000 05000000"  # sizes
        "0000000000000000 0600000000000000 0a00000000000000"  # first bytes
        "0000000000000000 0100000000000000 0200000000000000 0300000000000000"  # document index
    )


@settings(max_examples=30, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=20), max_size=20),
    dtype=st.sampled_from(["uint16", "int32"]),
)
def test_other_parsers_read_it(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], dtype: str
) -> None:
    prefix = tmp_path_factory.mktemp("shard") / "train-00000"
    manifest = write(prefix, documents, dtype).manifest
    assert parse(prefix) == (documents, list(range(len(documents) + 1)))
    assert (manifest.documents, manifest.tokens) == (len(documents), sum(map(len, documents)))
    assert (manifest.characters, manifest.bytes) == (manifest.tokens, 3 * manifest.tokens)
    assert manifest.idx_bytes == idx_size(len(documents))


def test_index_longer_than_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_INDEX_CHUNK", 4)
    documents = [[number] * (1 + number % 3) for number in range(11)]
    write(tmp_path / "a", documents)
    assert parse(tmp_path / "a") == (documents, list(range(12)))


def test_manifest_describes_the_files(tmp_path: Path) -> None:
    prefix = tmp_path / "shards/web/train-00003"
    manifest = write(prefix).manifest
    assert manifest.name == "shards/web/train-00003"
    assert json.loads(Path(f"{prefix}.json").read_text()) == manifest.to_json()
    for suffix, size, sha256 in (
        ("bin", manifest.bin_bytes, manifest.bin_sha256),
        ("idx", manifest.idx_bytes, manifest.idx_sha256),
    ):
        data = Path(f"{prefix}.{suffix}").read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)
    assert len(list(prefix.parent.iterdir())) == 3


@pytest.mark.parametrize(
    ("ids", "dtype", "message"),
    [
        ([], "uint16", "at least one id"),
        ([[1, 2]], "uint16", "at least one id"),
        ([1, 65_536], "uint16", "do not fit"),
        ([-1, 3], "uint16", "do not fit"),
        ([2**31], "int32", "do not fit"),
    ],
)
def test_ids_that_would_be_damaged_are_refused(tmp_path: Path, ids: list[int], dtype: str, message: str) -> None:
    with pytest.raises(ValueError, match=message), ShardWriter(tmp_path / "a", dtype) as writer:
        writer.add(np.array(ids), 1, 1)
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_nothing_not_even_the_old_shard(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(ZeroDivisionError), ShardWriter(tmp_path / "a", "uint16") as writer:
        writer.add(np.array([1, 2]), characters=1 // 0, num_bytes=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("full_at", ["add", "index", "manifest"])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target, name = {
        "add": (writer_module._HashedFile, "write"),
        "index": (ShardWriter, "_write_index"),
        "manifest": (writer_module, "write_json"),
    }[full_at]
    monkeypatch.setattr(target, name, full)
    path = re.escape(str(tmp_path / "a.bin"))
    with pytest.raises(UserError, match=rf"{path}: No space left on device; [\d,.]+ MB are free in .* run the same"):
        write(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_file_size_limit_of_the_system(tmp_path: Path) -> None:
    # A real refusal by the kernel, in the middle of buffered writes.
    script = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from jp_llm.runtime.errors import UserError
        from jp_llm.shards.writer import ShardWriter

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            with ShardWriter(Path(sys.argv[1]) / "a", "uint16") as writer:
                for _ in range(100):
                    writer.add(np.ones(1000, np.uint16), 1, 1)
        except UserError as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert "a.bin: File too large" in done.stdout
    assert not done.stderr
    assert not list(tmp_path.iterdir())


def test_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int64"):
        ShardWriter(tmp_path / "a", "int64")
