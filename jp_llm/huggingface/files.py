"""The weight files of a Hugging Face folder: which tensor lies where, read without loading anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from jp_llm.arch.huggingface import CONFIG_FILE as CONFIG_FILE
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, read_json_object

WEIGHT_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
STORED_DTYPES = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}
"""Data types of a tensor file that can be read, and our words for them."""
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class StoredTensor:
    """What the header of its file says of a tensor."""

    file: Path
    key: str
    shape: tuple[int, ...]
    dtype: str
    """As safetensors writes it: F32, BF16, F16, ..."""


def config_of(folder: Path) -> dict[str, Any]:
    """config.json of a Hugging Face folder.

    Raises:
        UserError: there is none, or it is no JSON object.
    """
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; download it first: hf download <name> --local-dir {folder}")
    refuse_adapter(folder)
    if not path.is_file():
        raise UserError(f"{path}: missing, so this is no Hugging Face model folder")
    return read_json_object(path, "copy the folder again")


def refuse_adapter(folder: Path) -> None:
    """
    Raises:
        UserError: the folder holds a LoRA adapter and no model.
    """
    if (folder / _ADAPTER).is_file() and not (folder / CONFIG_FILE).is_file():
        raise UserError(
            f"{folder}: holds a LoRA adapter and no model; merge it first: "
            "peft.AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload().save_pretrained(new_folder), and "
            "copy the files of the tokenizer"
        )


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: one, or those that the index names, in the order of their names.

    Where both are there, transformers reads the one and looks at no index; so do we.

    Raises:
        UserError: there are none that can be read, or one that the index names is missing.
    """
    if (folder / WEIGHT_FILE).is_file():
        return [folder / WEIGHT_FILE]
    if places := _index(folder):
        names = sorted(set(places.values()))
        if outside := [name for name in names if Path(name).name != name]:
            raise UserError(f"{folder / INDEX_FILE}: {outside[0]!r} is no plain file name")
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise UserError(*(f"{folder / name}: missing; copy the folder again" for name in missing))
        return [folder / name for name in names]
    if any((folder / name).is_file() for name in _PICKLES):
        raise UserError(
            f"{folder}: the weights are pickled (.bin), and a pickle can run any program; convert them once, where you "
            "trust them: transformers.AutoModelForCausalLM.from_pretrained(folder, dtype='auto')"
            ".save_pretrained(new_folder, safe_serialization=True), and copy the tokenizer's files"
        )
    raise UserError(f"{folder}: holds neither {WEIGHT_FILE} nor {INDEX_FILE}; copy the folder again")


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the weight files, from their headers.

    Raises:
        UserError: a file is damaged, a tensor is there twice, or the index and the files name different tensors.
    """
    found: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        with opened(path) as file:
            for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                if key in found:
                    raise UserError(f"{path}: {key} is also in {found[key].file.name}; copy the folder again")
                part = file.get_slice(key)
                found[key] = StoredTensor(path, key, tuple(part.get_shape()), part.get_dtype())
    if not (folder / WEIGHT_FILE).is_file():
        moved = [key for key, name in _index(folder).items() if key not in found or found[key].file.name != name]
        if moved:
            raise UserError(f"{folder / INDEX_FILE}: {', '.join(moved[:5])} not where it says; copy the folder again")
    return found


def _index(folder: Path) -> dict[str, str]:
    """{tensor: file}; empty where there is no index."""
    path = folder / INDEX_FILE
    if not path.is_file():
        return {}
    content = _parsed(path)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise UserError(f"{path}: has no weight_map; copy the folder again")
    return places


def _parsed(path: Path) -> Any:
    try:
        return read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); copy it again") from None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open safetensors file, for torch.

    Raises:
        UserError: it is damaged, cut off or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error}); copy it again") from error
