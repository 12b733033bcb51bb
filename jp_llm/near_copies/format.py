"""The folder of an index: flat little-endian arrays that are mapped into memory, and a manifest that is written last.

U compared units of all documents, one separator behind each; D documents; S indexed seeds
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_llm.near_copies.grams import SEED, STRIDE
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, sha256_of, write_json

FORMAT = 1
MANIFEST = "index.json"

COMPARED = "compared.u2"
"""(U,) what is compared."""
SHOWN = "shown.u2"
"""The documents after NFKC with all their characters, one behind the other: passages are cut from it."""
ANCHORS = "anchors.u8"
"""Of every ANCHOR_STEP-th compared unit of a document, its place among the document's shown units."""
DOCUMENTS = "documents.u8"
"""(D, 4) where each document ends in COMPARED (behind its separator), SHOWN, ANCHORS and NAMES, in items."""
NAMES = "names.utf8"
"""What the documents are called, one behind the other."""
SEEDS = "seeds.u4"
"""(S,) hashes of the indexed seeds, sorted."""
PLACES = "places.u4"
"""(S,) where they begin in COMPARED, in units of STRIDE."""

TEXT_FILES = (COMPARED, SHOWN, ANCHORS, DOCUMENTS, NAMES)
FILES = (*TEXT_FILES, SEEDS, PLACES)
TYPES = {COMPARED: "<u2", SHOWN: "<u2", ANCHORS: "<u8", DOCUMENTS: "<u8", NAMES: "u1", SEEDS: "<u4", PLACES: "<u4"}
COLUMNS = (COMPARED, SHOWN, ANCHORS, NAMES)
ANCHOR_STEP = 64

MAX_UNITS = STRIDE << 32


@dataclass(frozen=True)
class IndexManifest:
    """What an index is made of."""

    documents: int
    characters: int
    """Compared characters (UTF-16 code units), without separators."""
    seeds: int
    data: dict[str, str]
    """SHA-256 of every input file."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Bytes and SHA-256 of every file of the index."""
    format: int = FORMAT
    seed: int = SEED
    stride: int = STRIDE


def write_manifest(folder: Path, manifest: IndexManifest) -> None:
    """Write it; from now on the folder is an index."""
    write_json(folder / MANIFEST, asdict(manifest))


def described(path: Path) -> dict[str, Any]:
    """Bytes and SHA-256 of a file, as the manifest holds them."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def read_manifest(folder: Path, *, verify: bool) -> IndexManifest:
    """The manifest of an index whose files are all there and of their sizes; with `verify` also of their contents.

    Raises:
        UserError: no index, an index of another version of the format, or a damaged one.
    """
    path = folder / MANIFEST
    build = "python launch/index_near_copies.py data=[...] output_dir=" + str(folder)
    if not path.is_file():
        raise UserError(f"{folder}: no index of near copies (no {MANIFEST}); make one: {build}")
    try:
        content = read_json(path)
        if content["format"] != FORMAT or (content["seed"], content["stride"]) != (SEED, STRIDE):
            raise UserError(f"{folder}: an index of another version; make it again: {build}")
        manifest = IndexManifest(**content)
        expected = {name: manifest.files[name] for name in FILES}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); make the index again: {build}") from error
    problems = [
        f"{folder / name}: damaged or incomplete; make the index again: {build}"
        for name, file in expected.items()
        if not _is_whole(folder / name, file, verify=verify)
    ]
    if problems:
        raise UserError(*problems)
    return manifest


def _is_whole(path: Path, expected: dict[str, Any], *, verify: bool) -> bool:
    if not path.is_file() or path.stat().st_size != expected["bytes"]:
        return False
    return not verify or sha256_of(path) == expected["sha256"]


def mapped(folder: Path, name: str) -> NDArray[Any]:
    """A file of the index as a flat array that is read as far as it is used."""
    path = folder / name
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=TYPES[name])
    # A plain view: every step of a memmap would otherwise make another memmap, which is slow.
    return np.asarray(np.memmap(path, dtype=TYPES[name], mode="r"))
