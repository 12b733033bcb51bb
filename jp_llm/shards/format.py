"""The wall between preprocessing and training: how token ids lie on disk.

A shard is three files with one prefix. `.bin` holds the ids of all documents one after the other, little-endian.
`.idx` is the index of Megatron-LM (`megatron/core/datasets/indexed_dataset.py`), which reads these shards as they are:

    9 bytes         MMIDIDX\\0\\0
    uint64          version, 1
    uint8           code of the id type: 8 uint16, 4 int32
    uint64          number of sequences; here every document is one sequence
    uint64          number of entries of the document index, which is documents + 1
    int32  [n]      tokens per sequence
    int64  [n]      first byte of each sequence in .bin
    int64  [n + 1]  document index: first sequence of each document, then n

`.json` is the manifest (`jp_llm/shards/manifest.py`). It is written last: a shard without it does not exist.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
MEGATRON_TYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float64", 7: "float32", 8: "uint16"}
"""Megatron's type codes; a shard of ours uses 4 and 8."""
DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "int32": np.dtype("<i4")}
"""Types of token ids, by the name that manifests use."""
UINT16_LIMIT = 65_500
"""Vocabularies below this are stored in two bytes per id (Megatron's `DType.optimal_dtype`)."""

_HEADER = struct.Struct("<9sQBQQ")
HEADER_BYTES = _HEADER.size


def dtype_name(vocab_size: int) -> str:
    """The type that holds the ids of a vocabulary: `uint16` or `int32`."""
    return "uint16" if vocab_size < UINT16_LIMIT else "int32"


def bin_path(prefix: Path) -> Path:
    """The ids of the shard `prefix`."""
    return prefix.with_name(f"{prefix.name}.bin")


def idx_path(prefix: Path) -> Path:
    """The document index of the shard `prefix`."""
    return prefix.with_name(f"{prefix.name}.idx")


def manifest_path(prefix: Path) -> Path:
    """The manifest of the shard `prefix`."""
    return prefix.with_name(f"{prefix.name}.json")


def idx_size(documents: int) -> int:
    """Bytes of an `.idx` file."""
    return HEADER_BYTES + documents * (4 + 8) + (documents + 1) * 8


@dataclass(frozen=True)
class IndexHeader:
    """What the first bytes of an `.idx` file say."""

    dtype: str
    documents: int

    def pack(self) -> bytes:
        """The header as bytes."""
        code = next(code for code, name in MEGATRON_TYPES.items() if name == self.dtype)
        return _HEADER.pack(MAGIC, VERSION, code, self.documents, self.documents + 1)

    @classmethod
    def unpack(cls, data: bytes) -> "IndexHeader":
        """The header in the first `HEADER_BYTES` of a file.

        Raises:
            ValueError: this is not an index of ours; the message says what is wrong and names no file.
        """
        if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
            raise ValueError("this is not an MMIDIDX index")
        _, version, code, sequences, boundaries = _HEADER.unpack(data[:HEADER_BYTES])
        if version != VERSION:
            raise ValueError(f"MMIDIDX version {version}; only {VERSION} is known")
        name = MEGATRON_TYPES.get(code, f"code {code}")
        if name not in DTYPES:
            raise ValueError(f"ids of type {name}; only {' and '.join(DTYPES)} hold token ids")
        if boundaries != sequences + 1:
            raise ValueError(
                f"{sequences} sequences with {boundaries} document boundaries; one document per sequence expected"
            )
        return cls(dtype=name, documents=sequences)
