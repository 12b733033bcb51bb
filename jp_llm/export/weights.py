"""Weights as safetensors files, written one tensor at a time.

`safetensors.torch.save_file` wants all tensors of a file at once. The format does not: a header whose every number
follows from names, shapes and data type, then the bytes one after the other. So the memory needed is one tensor,
whatever the size of the model or of a file.

Layout of a file (https://github.com/huggingface/safetensors#format): 8 bytes header length, little endian; a JSON
header, padded with spaces to a multiple of 8; the tensors in the order of the header, without gaps.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jp_llm.runtime.files import atomic_writer, write_json

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""Data types that a file can have."""

_FORMAT_NAMES = {torch.bfloat16: "BF16", torch.float32: "F32"}


@dataclass(frozen=True)
class WeightFile:
    """One file: its name, and the shapes of its tensors in the order in which they lie in it."""

    name: str
    shapes: dict[str, tuple[int, ...]]


def plan_files(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, max_bytes: int) -> list[WeightFile]:
    """Deal tensors, in order, into files of at most `max_bytes` of numbers (a larger tensor gets a file alone)."""
    groups: list[dict[str, tuple[int, ...]]] = []
    room = 0
    for key, shape in shapes.items():
        size = math.prod(shape) * dtype.itemsize
        if size > room or not groups:
            groups.append({})
            room = max_bytes
        groups[-1][key] = shape
        room -= size
    if len(groups) == 1:
        return [WeightFile("model.safetensors", groups[0])]
    count = len(groups)
    return [
        WeightFile(f"model-{number:05d}-of-{count:05d}.safetensors", group)
        for number, group in enumerate(groups, start=1)
    ]


def write_weights(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], Tensor],
    *,
    dtype: torch.dtype,
    max_bytes: int,
) -> dict[str, str]:
    """Write every tensor of `shapes`, and the index if there are several files; returns {file name: sha256}.

    `read` is called once per key, in the order of the files, and its result is dropped before the next call. Values
    are rounded to `dtype` once.

    Raises:
        ValueError: `read` returned another shape than was announced.
    """
    files = plan_files(shapes, dtype, max_bytes)
    hashes = {file.name: _write_file(folder / file.name, file.shapes, read, dtype) for file in files}
    if len(files) > 1:
        total = sum(math.prod(shape) for shape in shapes.values()) * dtype.itemsize
        places = {key: file.name for file in files for key in file.shapes}
        write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return hashes


def _write_file(
    path: Path, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor], dtype: torch.dtype
) -> str:
    digest = hashlib.sha256()
    with atomic_writer(path) as file:

        def put(data: bytes | memoryview) -> None:
            digest.update(data)
            file.write(data)

        put(_header(shapes, dtype))
        for key, shape in shapes.items():
            put(_bytes_of(key, read(key), shape, dtype))
    return digest.hexdigest()


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for key, shape in shapes.items():
        end = start + math.prod(shape) * dtype.itemsize
        entries[key] = {"dtype": _FORMAT_NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes_of(key: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> memoryview:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{key}: shape {tuple(tensor.shape)} instead of {shape}")
    return tensor.to("cpu", dtype).contiguous().view(torch.uint8).numpy().data
