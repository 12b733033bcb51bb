"""Layout of a checkpoint folder.

    step_00000120/
        manifest.json                       lists every other file with size and sha256
        manifest.sha256                     of manifest.json, as `sha256sum -c` reads it
        fragments/rank_00000.safetensors    one file per process that held state; flat fp32 tensors
        tokenizer/                          the tokenizer of the data, so that the folder stands alone

A fragment is a flat range of a box of a canonical parameter, so nothing in the folder depends on how many processes
wrote it or on how they divided the model. No file is a pickle.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer, sha256_of

MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
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
    """Everything about a checkpoint except the tensors.

    With the tensors it is the whole state of a run: nothing is drawn from a random generator that outlives the step,
    because initial weights, data order and sampling are functions of seed and counters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    producer: str
    state: dict[str, int]
    """Counters of the training state (`jp_llm.train.state.TrainState`), the position in the data among them."""
    guard: dict[str, Any] = {}
    """What the watch over loss and gradient norm remembers (`jp_llm.guard`); empty in checkpoints of older versions."""
    origin: dict[str, Any] = {}
    """Where the first weights come from: name, licence and file hashes of the model that was imported. Empty where they
    were random."""
    seed: int
    """Of initial weights, data order and sampling."""
    layout: dict[str, int]
    """Processes and ZeRO stage that wrote it. For people: reading does not depend on it."""
    config: dict[str, Any]
    """The resolved run configuration."""
    config_sha256: str
    """`jp_llm.runtime.files.fingerprint_of(config)`, to tell two runs apart at a glance."""
    tokenizer_fingerprint: str
    data_fingerprint: str
    """Of the samples in their order: the datasets, and what draws from them."""
    datasets: dict[str, str] = {}
    """{folder: `DatasetManifest.fingerprint`}: data.path, then the replay. Empty in checkpoints of older versions."""
    parameters: dict[str, tuple[int, ...]]
    """Whole shape of each canonical parameter."""
    kinds: tuple[str, ...] = KINDS
    """What is stored of each parameter: all, or the weight alone where the model was trained elsewhere."""
    fragments: tuple[Fragment, ...]
    files: dict[str, FileRecord]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and its hash, durably."""
    with atomic_writer(folder / MANIFEST) as file:
        file.write(manifest.model_dump_json(indent=2).encode() + b"\n")
    with atomic_writer(folder / MANIFEST_HASH) as file:
        file.write(_hash_line(folder))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder.

    Raises:
        UserError: the folder is not a checkpoint of ours, or its manifest or the hash of that is damaged.
    """
    path, hash_path = folder / MANIFEST, folder / MANIFEST_HASH
    if not path.is_file():
        raise UserError(f"{path}: missing, so this is not a jp-llm checkpoint; name a run folder or a step_N folder")
    if not hash_path.is_file():
        raise UserError(f"{hash_path}: missing; use another checkpoint of the run")
    if hash_path.read_bytes() != _hash_line(folder):
        raise UserError(
            f"{path}: its sha256 is not what {hash_path} says, so one of the two is damaged; "
            "use another checkpoint of the run"
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise UserError(
            f"{path}: of another format ({where}: {first['msg']}); use another checkpoint or that version of jp-llm"
        ) from None


def _hash_line(folder: Path) -> bytes:
    return f"{sha256_of(folder / MANIFEST)}  {MANIFEST}\n".encode()


def record_of(path: Path) -> FileRecord:
    """Size and hash of a file as it is now."""
    return FileRecord(bytes=path.stat().st_size, sha256=sha256_of(path))


def damage(folder: Path, manifest: Manifest, *, hashes: bool = True, part: int = 0, parts: int = 1) -> list[str]:
    """What differs between the files and the manifest.

    Args:
        hashes: read every byte; otherwise only sizes are compared.
        part, parts: only every parts-th file is looked at, beginning with `part`.
    """
    found = []
    for relative, record in sorted(manifest.files.items())[part::parts]:
        path = folder / relative
        if not path.is_file():
            found.append(f"{path}: missing")
        elif path.stat().st_size != record.bytes:
            found.append(f"{path}: {path.stat().st_size} bytes instead of {record.bytes}")
        elif hashes and sha256_of(path) != record.sha256:
            found.append(f"{path}: sha256 differs from the manifest")
    return found
