"""Safetensors files of ours, read by the library of the format."""

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from jp_llm.checkpoint import tensor_file
from jp_llm.checkpoint.tensor_file import write_tensors

NAMES = st.text(min_size=0, max_size=12).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 5), min_size=0, max_size=4).map(tuple)


def value(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=80, deadline=None)
@given(
    shapes=st.dictionaries(NAMES, SHAPES, max_size=6),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    transposed=st.booleans(),
    chunk=st.integers(1, 64),
)
def test_the_library_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: dict[str, tuple[int, ...]],
    dtype: torch.dtype,
    transposed: bool,
    chunk: int,
) -> None:
    def read(name: str) -> Tensor:
        shape = shapes[name]
        return value(shape[::-1]).permute(tuple(range(len(shape)))[::-1]) if transposed else value(shape)

    path = tmp_path_factory.mktemp("file") / "x.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_file, "_CHUNK_BYTES", chunk)
        record = write_tensors(path, shapes, read, dtype)
    content = path.read_bytes()
    assert (record.bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    found = load_file(path)
    assert set(found) == set(shapes)
    for name in shapes:
        assert found[name].dtype == dtype
        assert torch.equal(found[name], read(name).to(dtype))
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize(
    ("shapes", "message"), [({"a": (2,), "b": (3,)}, r"b: shape \(2,\)"), ({"__metadata__": (2,)}, "no name")]
)
def test_what_cannot_be_written_leaves_no_file(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_tensors(tmp_path / "x", shapes, lambda _: torch.zeros(2), torch.float32)
    assert list(tmp_path.iterdir()) == []


def test_strided_ranges_of_one_element_are_written(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", {"a": (1,)}, lambda _: torch.arange(8.0)[6::4], torch.float32)
    assert load_file(tmp_path / "x")["a"].tolist() == [6.0]
