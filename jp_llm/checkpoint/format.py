"""Layout of a checkpoint folder.

    step_00000120/
        manifest.json                       written last; lists every file with size and sha256
        fragments/rank_00000.safetensors    one file per process that held state; flat fp32 tensors
        tokenizer/                          the tokenizer of the data, so that the folder stands alone

A fragment is a flat range of a box of a canonical parameter, so nothing in the folder depends on how many processes
wrote it or on how they divided the model. No file is a pickle.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of

MANIFEST = "manifest.json"
FRAGMENTS = "fragments"
TOKENIZER = "tokenizer"
WEIGHT = "weight"
KINDS = (WEIGHT, "exp_avg", "exp_avg_sq")


class FileRecord(BaseModel):
    """Size and hash of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Fragment(BaseModel):
    """Where one stored tensor belongs: elements [start, stop) of the flattened box at `offset` of parameter `name`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    key: str
    name: str
    kind: str
    offset: tuple[int, ...]
    shape: tuple[int, ...]
    start: int
    stop: int


class Manifest(BaseModel):
    """Everything about a checkpoint except the tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    producer: str
    state: dict[str, int]
    """Counters of the training state (`jp_llm.train.state.TrainState`)."""
    config: dict[str, Any]
    """The resolved run configuration."""
    tokenizer_fingerprint: str
    data_fingerprint: str
    parameters: dict[str, tuple[int, ...]]
    """Whole shape of each canonical parameter."""
    fragments: tuple[Fragment, ...]
    files: dict[str, FileRecord]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder.

    Raises:
        UserError: the folder is not a checkpoint of ours, or its manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{folder}: no {MANIFEST}, so this is not a jp-llm checkpoint; name a run folder or a step_N folder"
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise UserError(
            f"{path}: damaged or of another format ({where}: {first['msg']}); use another checkpoint of the run"
        ) from None


def record_of(path: Path) -> FileRecord:
    """Size and hash of a file as it is now."""
    return FileRecord(bytes=path.stat().st_size, sha256=sha256_of(path))


def damage(folder: Path, manifest: Manifest, *, part: int = 0, parts: int = 1) -> list[str]:
    """What differs between the files and the manifest; with `parts` > 1 only every parts-th file is looked at."""
    found = []
    for relative, record in sorted(manifest.files.items())[part::parts]:
        path = folder / relative
        if not path.is_file():
            found.append(f"{path}: missing")
        elif path.stat().st_size != record.bytes:
            found.append(f"{path}: {path.stat().st_size} bytes instead of {record.bytes}")
        elif sha256_of(path) != record.sha256:
            found.append(f"{path}: sha256 differs from the manifest")
    return found
