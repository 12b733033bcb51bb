"""Safetensors files of ours, read by the library of the format."""

import gc
import hashlib
import json
import weakref
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from jp_llm.export.weights import plan_files, write_weights

SHAPES = {"a": (3, 5), "b": (7,), "c": (2, 3, 4), "d": (1, 40)}


def value(key: str) -> Tensor:
    generator = torch.Generator().manual_seed(ord(key))
    return torch.randn(SHAPES[key], generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_file_is_what_safetensors_reads(tmp_path: Path, dtype: torch.dtype) -> None:
    hashes = write_weights(tmp_path, SHAPES, value, dtype=dtype, max_bytes=10**6)
    path = tmp_path / "model.safetensors"
    assert hashes == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    loaded = load_file(path)
    assert list(loaded) == list(SHAPES)
    for key, tensor in loaded.items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, value(key).to(dtype))
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert not (tmp_path / "model.safetensors.index.json").exists()


def test_several_files_have_an_index(tmp_path: Path) -> None:
    # a and b take 88 bytes in fp32; c, at 96, begins the second file, and d alone is larger than a file may be.
    write_weights(tmp_path, SHAPES, value, dtype=torch.float32, max_bytes=100)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    places = {key: f"model-0000{number}-of-00003.safetensors" for key, number in zip("abcd", (1, 1, 2, 3), strict=True)}
    assert index == {"metadata": {"total_size": 4 * (15 + 7 + 24 + 40)}, "weight_map": places}
    for key, name in places.items():
        assert torch.equal(load_file(tmp_path / name)[key], value(key))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 100))
def test_files_hold_every_tensor_once_in_order_and_are_as_full_as_they_may_be(sizes: list[int], room: int) -> None:
    shapes = {str(number): (size,) for number, size in enumerate(sizes)}
    files = plan_files(shapes, torch.float32, 4 * room)
    assert [key for file in files for key in file.shapes] == list(shapes)
    totals = [sum(size for (size,) in file.shapes.values()) for file in files]
    for file, total in zip(files, totals, strict=True):
        assert total <= room or len(file.shapes) == 1
    for total, following in zip(totals, files[1:], strict=False):
        (first, *_) = following.shapes.values()
        assert total + first[0] > room


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_one_tensor_is_in_memory_at_a_time(tmp_path: Path, dtype: torch.dtype) -> None:
    gc.disable()  # references alone must free them, not the collector
    alive: list[weakref.ref[Tensor]] = []

    def read(key: str) -> Tensor:
        assert all(reference() is None for reference in alive), f"a tensor before {key} is still in memory"
        tensor = value(key)
        alive.append(weakref.ref(tensor))
        return tensor

    try:
        write_weights(tmp_path, SHAPES, read, dtype=dtype, max_bytes=10**6)
    finally:
        gc.enable()
    assert len(alive) == len(SHAPES)


def test_a_tensor_of_another_shape_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"b: shape \(9,\) instead of \(7,\)"):
        write_weights(
            tmp_path,
            SHAPES,
            lambda key: torch.zeros(9) if key == "b" else value(key),
            dtype=torch.float32,
            max_bytes=10**6,
        )
    assert not list(tmp_path.iterdir())
