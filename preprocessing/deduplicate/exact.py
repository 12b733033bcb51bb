"""Equal documents: 128-bit hashes of exact keys, sorted per file, merged per range of hashes."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.deduplicate.batches import read_batches
from preprocessing.deduplicate.pairs import Pairs
from preprocessing.deduplicate.tables import (
    FILE_SHIFT,
    Workspace,
    gather_range,
    group_starts,
    part_name,
    write_array,
)
from preprocessing.text.keys import exact_keys

ROW_BYTES = 24
"""What a row takes on disk."""
BYTES_PER_ROW = 88
"""What a row takes at the height of `merge_exact`: read, ordered, sorted."""
_HASH_BYTES = 16


def keys_of_file(folder: str, name: str, file: int) -> dict[str, Any]:
    """Write (hash, hash, document) of every document of a file, sorted."""
    digests = bytearray()
    for batch in read_batches(Path(folder) / name):
        keys = exact_keys(batch.texts)
        digests += b"".join([blake2b(keys[index].data, digest_size=_HASH_BYTES).digest() for index in range(len(keys))])
    hashes = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    numbers = np.arange(len(hashes), dtype=np.uint64) | np.uint64(file) << FILE_SHIFT
    rows = np.column_stack((hashes, numbers))
    write_array(Workspace(folder).path("exact", file), rows[np.lexsort(rows.T[::-1])])
    return {"documents": len(rows)}


def merge_exact(folder: str, files: int, part: int, parts: int, seed: int) -> dict[str, Any]:
    """Write (document, the equal one that stays) for one range of hashes, sorted by document."""
    workspace = Workspace(folder)
    rows = gather_range(workspace.of_files("exact", files), 3, part, parts)
    rows = rows[np.lexsort(rows.T[::-1])]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    copies = np.flatnonzero(~new)
    pairs = np.column_stack((rows[copies, 2], rows[group_starts(new)[copies], 2]))
    pairs = pairs[np.argsort(pairs[:, 0])]
    write_array(workspace.path("exact_duplicates", part_name(part, parts)), pairs)
    sizes = np.bincount(np.cumsum(new) - 1) if len(rows) else np.empty(0, dtype=np.int64)
    return Pairs.of(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)), sizes, workspace.sources(), seed).to_json()
