"""Weights as safetensors files, written one tensor at a time, with the index that Hugging Face wants for several."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from jp_llm.checkpoint.tensor_file import write_tensors
from jp_llm.runtime.files import write_json

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""Data types that a file can have."""


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
    hashes = {file.name: write_tensors(folder / file.name, file.shapes, read, dtype).sha256 for file in files}
    if len(files) > 1:
        total = sum(math.prod(shape) for shape in shapes.values()) * dtype.itemsize
        places = {key: file.name for file in files for key in file.shapes}
        write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return hashes
