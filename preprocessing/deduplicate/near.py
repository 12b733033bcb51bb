"""Candidates for near duplicates: documents of which all rows of one band agree."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.deduplicate.batches import read_batches
from preprocessing.deduplicate.config import DeduplicationConfig, NearConfig
from preprocessing.deduplicate.decisions import exact_duplicates
from preprocessing.deduplicate.lines import Shortener
from preprocessing.deduplicate.minhash import VERIFIED, MinHash
from preprocessing.deduplicate.tables import (
    FILE_SHIFT,
    Workspace,
    group_starts,
    hash_range,
    mapped,
    part_name,
    read_rows,
    write_array,
)
from preprocessing.text.keys import Keys, near_keys

KEY_BYTES, PLACE_BYTES = 8, 4
ROW_BYTES = KEY_BYTES + PLACE_BYTES
"""What a band key takes on disk."""
EDGE_BYTES = 16
BYTES_PER_ROW = 56
"""What a band key takes at the height of `merge_band`."""


def minhash_of(config: NearConfig) -> MinHash:
    """The hash functions of a configuration."""
    return MinHash(config.ngram, config.bands, config.rows, config.seed)


def checks_per_document(config: NearConfig) -> int:
    """Bytes that are kept of each document to check candidates."""
    return min(config.bands * config.rows, VERIFIED)


def signatures_of_file(
    config: DeduplicationConfig, folder: str, name: str, file: int, documents: int
) -> dict[str, Any]:
    """Write band keys, and the checks of every document, of the documents of a file that are left so far.

    bands/<file>.bin    uint64 [bands, signed]: keys, sorted in each band; uint32 [bands, signed]: their documents
    checks/<file>.bin   uint8 [documents, checks]: zero where there is no signature
    """
    assert config.near is not None
    workspace = Workspace(folder)
    minhash = minhash_of(config.near)
    shortener = Shortener(config, folder, file, paragraphs=False)
    copies = exact_duplicates(workspace, file, documents)
    least = max(config.near.minimum_characters, config.near.ngram)
    checks = np.zeros((documents, checks_per_document(config.near)), dtype=np.uint8)
    keys_of_batches = [np.empty((config.near.bands, 0), dtype=np.uint64)]
    places_of_batches = [np.empty(0, dtype=np.uint32)]
    for batch in read_batches(Path(folder) / name):
        left = shortener.shorten(batch.texts, batch.first)
        places = [place for place, one in enumerate(left) if not one.reason and not copies[batch.first + place]]
        keys = near_keys([left[place].text for place in places], mask_digits=config.near.mask_digits)
        keys, places_signed = _long_enough(keys, np.array(places, dtype=np.int64), least)
        signatures = minhash.signatures(keys)
        checks[batch.first + places_signed] = minhash.checks(signatures)
        keys_of_batches.append(minhash.band_keys(signatures))
        places_of_batches.append((batch.first + places_signed).astype(np.uint32))
    places_of_file = np.concatenate(places_of_batches)
    band_keys = np.concatenate(keys_of_batches, axis=1)
    order = np.argsort(band_keys, axis=1, kind="stable")
    write_array(workspace.path("checks", file), checks)
    # One file: every range of every band opens it once.
    write_array(workspace.path("bands", file), np.take_along_axis(band_keys, order, axis=1), places_of_file[order])
    return {"signed": len(places_of_file)}


def _long_enough(keys: Keys, places: np.ndarray[Any, Any], least: int) -> tuple[Keys, np.ndarray[Any, Any]]:
    """The keys of at least so many characters, and where they were."""
    lengths = keys.lengths
    if (lengths >= least).all():
        return keys, places
    chosen = lengths >= least
    offsets = np.concatenate(([0], np.cumsum(lengths[chosen])))
    return Keys(keys.codes[np.repeat(chosen, lengths)], offsets), places[chosen]


def write_signed(folder: str, signed: Sequence[int]) -> None:
    """Keep how many documents of each file have a signature, once and not with every task."""
    write_array(Workspace(folder).path("files", "signed"), np.array(signed, dtype=np.uint64))


def edges_name(band: int, part: int, parts: int) -> str:
    """Of the table that `merge_band` writes."""
    return f"{band:03d}-{part_name(part, parts)}"


def merge_band(folder: str, bands: int, band: int, part: int, parts: int) -> dict[str, Any]:
    """Write (document, the first with the same key) of one of the bands and a range of keys."""
    workspace = Workspace(folder)
    low, high = hash_range(part, parts)
    keys_found = [np.empty(0, dtype=np.uint64)]
    numbers_found = [np.empty(0, dtype=np.uint64)]
    for file, count in enumerate(read_rows(workspace.path("files", "signed"), 1)[:, 0].tolist()):
        if not count:
            continue
        table = mapped(workspace.path("bands", file))
        keys = table[KEY_BYTES * band * count : KEY_BYTES * (band + 1) * count].view(np.uint64)
        first = int(np.searchsorted(keys, np.uint64(low)))
        last = count if part == parts - 1 else int(np.searchsorted(keys, np.uint64(high)))
        keys_found.append(np.array(keys[first:last]))
        places = table[KEY_BYTES * bands * count :].view(np.uint32)[band * count + first : band * count + last]
        numbers_found.append(places | np.uint64(file) << FILE_SHIFT)
        del table, keys, places  # the pages they touched count as memory of this process
    keys, numbers = np.concatenate(keys_found), np.concatenate(numbers_found)
    keys_found.clear()
    numbers_found.clear()
    # Stable: numbers rise from file to file and, among equal keys, inside a file.
    order = np.argsort(keys, kind="stable")
    keys, numbers = keys[order], numbers[order]
    del order
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    del keys
    copies = np.flatnonzero(~new)
    edges = np.column_stack((numbers[copies], numbers[group_starts(new)[copies]]))
    write_array(workspace.path("edges", edges_name(band, part, parts)), edges)
    return {"edges": len(edges)}
