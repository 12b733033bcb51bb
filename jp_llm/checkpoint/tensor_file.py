"""Safetensors files, written one tensor at a time and hashed on the way.

`safetensors.torch.save_file` wants all tensors of a file at once and copies them while it holds the interpreter. The
format needs neither: a header whose every number follows from names, shapes and data type, then the bytes one after
the other. So the memory needed is one tensor, whatever the size of a file, and a thread that writes leaves the
interpreter to the training loop.

Layout of a file (https://github.com/huggingface/safetensors#format): 8 bytes header length, little endian; a JSON
header, padded with spaces to a multiple of 8; the tensors in the order of the header, without gaps.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jp_llm.checkpoint.format import FileRecord
from jp_llm.runtime.files import atomic_writer

_FORMAT_NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
_METADATA = "__metadata__"
_CHUNK_BYTES = 4 << 20
"""Small enough that what was hashed is still in the cache when it is written."""


def write_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor], dtype: torch.dtype
) -> FileRecord:
    """Write the tensors of `shapes` to `path`, durably; on an error no file is left.

    `read` is called once per key, in order, and its result is dropped before the next call. Values are rounded to
    `dtype` (float16, bfloat16 or float32) once.

    Raises:
        ValueError: `read` returned another shape than was announced, or a key is one that the format reserves.
    """
    digest, size = hashlib.sha256(), 0
    with atomic_writer(path) as file:

        def put(data: bytes | memoryview) -> None:
            nonlocal size
            for start in range(0, len(data), _CHUNK_BYTES):
                digest.update(data[start : start + _CHUNK_BYTES])
                file.write(data[start : start + _CHUNK_BYTES])
            size += len(data)

        put(_header(shapes, dtype))
        for key, shape in shapes.items():
            put(_bytes_of(key, read(key), shape, dtype))
    return FileRecord(bytes=size, sha256=digest.hexdigest())


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    if _METADATA in shapes:
        raise ValueError(f"{_METADATA} is no name for a tensor")
    entries: dict[str, Any] = {_METADATA: {"format": "pt"}}
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
    flat = tensor.detach().to("cpu", dtype).reshape(-1)
    if flat.stride(0) != 1:
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().data
