"""Checkpoints without moments, written by one process that has no group."""

import json
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

from jp_llm.checkpoint.format import KINDS, MANIFEST, damage, read_manifest, write_manifest
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore, resolve
from jp_llm.checkpoint.writer import Contents, write_weights
from jp_llm.parallel.slices import Piece, Slice
from jp_llm.runtime.errors import UserError

SHAPES = {"a.weight": (3, 4), "b.bias": (5,)}


def numbers(name: str) -> Tensor:
    size = torch.Size(SHAPES[name])
    return torch.arange(size.numel(), dtype=torch.float32).view(size) + len(name)


def contents(folder: Path) -> Contents:
    tokenizer = folder / "given"
    tokenizer.mkdir(parents=True)
    (tokenizer / "file").write_text("x")
    return Contents(
        state={"step": 0},
        seed=0,
        layout={"world_size": 1},
        config={},
        parameters=SHAPES,
        tokenizer_folder=tokenizer,
        tokenizer_fingerprint="",
        data_fingerprint="",
        origin={"name": "somebody/model"},
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    target = CheckpointStore(tmp_path / "run").path(0)
    write_weights(target, SHAPES, numbers, contents(tmp_path))
    return target


def test_weights_come_back_and_moments_are_zero(checkpoint: Path, tmp_path: Path) -> None:
    assert resolve(tmp_path / "run") == checkpoint
    reader = CheckpointReader(checkpoint)
    assert reader.manifest.kinds == ("weight",)
    assert reader.manifest.origin == {"name": "somebody/model"}
    assert damage(checkpoint, reader.manifest) == []
    part = Slice("a.weight", (3, 4), (1, 1), (2, 2))
    for name in SHAPES:
        assert torch.equal(reader.read(name), numbers(name))
    assert reader.read_piece(Piece(part, 1, 3), "weight").tolist() == [14.0, 17.0]
    for kind in KINDS[1:]:
        assert reader.read_piece(Piece(part, 1, 3), kind).tolist() == [0.0, 0.0]


def test_a_manifest_of_older_versions_has_all_kinds(checkpoint: Path) -> None:
    values = json.loads((checkpoint / MANIFEST).read_text())
    del values["kinds"], values["origin"]
    write_manifest(checkpoint, read_manifest(checkpoint).model_copy(update={"kinds": KINDS}))
    with pytest.raises(UserError, match=r"a.weight \(exp_avg\): 0 of 12 elements are stored"):
        CheckpointReader(checkpoint)
    assert type(read_manifest(checkpoint)).model_validate(values).kinds == KINDS


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    def fail(name: str) -> Tensor:
        if name == "b.bias":
            raise OSError("disk full")
        return numbers(name)

    target = CheckpointStore(tmp_path / "run").path(0)
    with pytest.raises(OSError, match="disk full"):
        write_weights(target, SHAPES, fail, contents(tmp_path))
    assert list(target.parent.iterdir()) == []


def test_each_parameter_is_read_once_and_dropped_before_the_next(tmp_path: Path) -> None:
    held: list[weakref.ref[Tensor]] = []
    names = []

    def read(name: str) -> Tensor:
        assert not any(tensor() is not None for tensor in held)
        tensor = numbers(name)
        held.append(weakref.ref(tensor))
        names.append(name)
        return tensor

    write_weights(CheckpointStore(tmp_path / "run").path(0), SHAPES, read, contents(tmp_path))
    assert names == list(SHAPES)
