"""Folders that are damaged, incomplete or of another kind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published import small
from safetensors.torch import save_file

from jp_llm.export.inference import huggingface_folder
from jp_llm.huggingface.files import INDEX_FILE, stored_tensors
from jp_llm.huggingface.open import open_weights
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.huggingface.reload import load_model
from jp_llm.runtime.errors import UserError

Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("sharded") / "model", "llama-gqa", max_shard_size="300KB")


def change_index(folder: Path, change: Callable[[dict[str, str]], Any]) -> None:
    index = json.loads((folder / INDEX_FILE).read_text())
    index["weight_map"] = change(index["weight_map"])
    (folder / INDEX_FILE).write_text(json.dumps(index))


def cut_off(folder: Path) -> None:
    path = sorted(folder.glob("model-*.safetensors"))[1]
    path.write_bytes(path.read_bytes()[:-100])


def no_header(folder: Path) -> None:
    sorted(folder.glob("model-*.safetensors"))[1].write_bytes(b"\x80\x04PK")


def lose(folder: Path) -> None:
    sorted(folder.glob("model-*.safetensors"))[1].unlink()


def twice(folder: Path) -> None:
    path = sorted(folder.glob("model-*.safetensors"))[0]
    shutil.copy(path, folder / "copy.safetensors")
    change_index(folder, lambda places: places | {"another": "copy.safetensors"})


def moved(folder: Path) -> None:
    change_index(folder, lambda places: dict.fromkeys(places, next(iter(places.values()))))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_off, "cannot be read as safetensors"),
        (no_header, "cannot be read as safetensors"),
        (lose, r"model-00002-of-\d+.safetensors: missing; copy the folder again"),
        (twice, "is also in"),
        (moved, "not where it says"),
        (lambda folder: change_index(folder, lambda _: {}), "has no weight_map"),
        (lambda folder: change_index(folder, lambda _: {"a": "../secret.safetensors"}), "is no plain file name"),
        (lambda folder: (folder / INDEX_FILE).write_text("{"), "is no JSON"),
        (lambda folder: (folder / INDEX_FILE).write_text("[1]"), "has no weight_map"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config.json: is no JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"config.json: must be a JSON object"),
    ],
)
def test_a_damaged_folder_is_refused(
    damage: Callable[[Path], object], message: str, sharded: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sharded, folder)
    HuggingFaceReader(folder)
    damage(folder)
    with pytest.raises(UserError, match=message):
        HuggingFaceReader(folder)


def test_one_file_wins_over_an_index_as_in_transformers(sharded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sharded, folder)
    save_file({"model.norm.weight": torch.full((128,), 7.0)}, folder / "model.safetensors", {"format": "pt"})
    assert [place.file.name for place in stored_tensors(folder).values()] == ["model.safetensors"]
    norm = load_model(folder, torch.float32)[0].model.norm.weight
    assert norm.unique().tolist() == [7.0]


def test_pickled_weights_are_refused_with_the_way_to_convert_them(tmp_path: Path, made_small: Made) -> None:
    shutil.copy(made_small("rinna-1b") / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(UserError, match="safe_serialization=True"):
        open_weights(tmp_path)


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    save_file({"a": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    for opening in (HuggingFaceReader, open_weights, huggingface_folder):
        with pytest.raises(UserError, match="merge_and_unload"):
            opening(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path, made_small: Made) -> None:
    shutil.copy(made_small("rinna-1b") / "config.json", tmp_path)
    with pytest.raises(UserError, match=r"holds neither model.safetensors nor"):
        open_weights(tmp_path)


def test_headers_tell_shapes_and_types(made_small: Made) -> None:
    found = stored_tensors(made_small("llama-gqa"))["model.norm.weight"]
    assert (found.shape, found.dtype, found.file.name) == ((128,), "BF16", "model.safetensors")


def test_a_missing_folder_is_to_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent: no such folder; download it first: hf download"):
        HuggingFaceReader(tmp_path / "absent")
