from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.runtime.errors import UserError
from jp_llm.shards.reader import ShardReader
from jp_llm.shards.writer import ShardWriter

DOCUMENTS = [[1, 700, 2], [1, 2], [1, 5, 6, 7, 2]]


def write(prefix: Path, documents: list[list[int]] = DOCUMENTS, dtype: str = "uint16") -> Path:
    with ShardWriter(prefix, dtype) as writer:
        for ids in documents:
            writer.add(np.array(ids), characters=len(ids), num_bytes=len(ids))
    return prefix


@settings(max_examples=30, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=20), max_size=20),
    dtype=st.sampled_from(["uint16", "int32"]),
    data=st.data(),
)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], dtype: str, data: st.DataObject
) -> None:
    reader = ShardReader(write(tmp_path_factory.mktemp("shard") / "a", documents, dtype))
    assert [reader.document(index).tolist() for index in range(reader.num_documents)] == documents
    stream = [token for ids in documents for token in ids]
    assert reader.num_tokens == len(stream)
    start = data.draw(st.integers(0, len(stream)))
    stop = data.draw(st.integers(start, len(stream)))
    assert reader.tokens(start, stop).tolist() == stream[start:stop]


def test_windows_beyond_the_first_pages(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 2**16, 100_000)
    reader = ShardReader(write(tmp_path / "a", [ids.tolist()]))
    for start in (0, 2047, 2048, 2049, 60_000, 99_999):
        assert (reader.tokens(start, min(start + 5000, 100_000)) == ids[start : start + 5000]).all()


def test_views_cannot_change_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        ShardReader(write(tmp_path / "a")).tokens(0, 3)[0] = 9


def test_outside_of_the_shard(tmp_path: Path) -> None:
    reader = ShardReader(write(tmp_path / "a"))
    for start, stop in ((-1, 2), (3, 2), (0, 11)):
        with pytest.raises(IndexError):
            reader.tokens(start, stop)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            reader.document(index)


def test_tokens_need_no_index(tmp_path: Path) -> None:
    reader = ShardReader(write(tmp_path / "a"))
    (tmp_path / "a.idx").unlink()
    assert reader.tokens(0, 3).tolist() == [1, 700, 2]


def unfinished(folder: Path) -> None:
    (folder / "a.json").unlink()


def strange_manifest(folder: Path) -> None:
    (folder / "a.json").write_text('{"name": "a"}')


def truncated(folder: Path) -> None:
    (folder / "a.bin").write_bytes((folder / "a.bin").read_bytes()[:-2])


def without_tokens(folder: Path) -> None:
    (folder / "a.bin").unlink()


def unreadable(folder: Path) -> None:
    (folder / "a.bin").unlink()
    (folder / "a.bin").symlink_to(folder / "a.bin")


def without_index(folder: Path) -> None:
    (folder / "a.idx").unlink()


def truncated_index(folder: Path) -> None:
    (folder / "a.idx").write_bytes((folder / "a.idx").read_bytes()[:-8])


def foreign_index(folder: Path) -> None:
    """Of a shard with as many documents and another number of tokens."""
    write(folder / "b", [[1, 2], [1, 2], [1, 2]])
    (folder / "b.idx").replace(folder / "a.idx")


def index_of_another_type(folder: Path) -> None:
    write(folder / "b", DOCUMENTS, "int32")
    (folder / "b.idx").replace(folder / "a.idx")


def not_an_index(folder: Path) -> None:
    (folder / "a.idx").write_bytes(b"\x00" * (folder / "a.idx").stat().st_size)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unfinished, r"a\.json: missing, so this shard is unfinished"),
        (strange_manifest, r"a\.json: missing: bin_bytes, .*tokens"),
        (truncated, r"a\.bin: 18 bytes, but the manifest says 20"),
        (without_tokens, r"a\.bin: missing"),
        (unreadable, r"a\.bin: cannot be read: Too many levels"),
        (without_index, r"a\.idx: missing"),
        (truncated_index, r"a\.idx: 94 bytes, but the manifest says 102"),
        (foreign_index, r"a\.idx: its documents do not fill .*a\.bin"),
        (index_of_another_type, r"a\.idx: an index of 3 documents of int32, but the manifest says 3 of uint16"),
        (not_an_index, r"a\.idx: this is not an MMIDIDX index"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    write(tmp_path / "a")
    damage(tmp_path)
    with pytest.raises(UserError, match=rf"{message}.*run launch/preprocess.py again"):
        ShardReader(tmp_path / "a").document(0)
