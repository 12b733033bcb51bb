"""Write a checkpoint: every process its own fragments, one rename when all of them are on disk."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup

import jp_llm
from jp_llm.checkpoint.format import (
    FRAGMENTS,
    KINDS,
    TOKENIZER,
    WEIGHT,
    FileRecord,
    Fragment,
    Manifest,
    record_of,
    write_manifest,
)
from jp_llm.checkpoint.store import temporary_name
from jp_llm.checkpoint.tensor_file import write_tensors
from jp_llm.parallel.slices import Piece, whole_slice
from jp_llm.runtime.files import atomic_writer, fingerprint_of, fsync_directory

State = Iterable[tuple[Piece, dict[str, Tensor]]]
"""Pieces with their state: `weight` and the moments, each [piece.size]."""


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds besides tensors; `jp_llm.checkpoint.format.Manifest` explains the fields."""

    state: dict[str, int]
    seed: int
    layout: dict[str, int]
    config: dict[str, Any]
    parameters: dict[str, tuple[int, ...]]
    tokenizer_folder: Path
    tokenizer_fingerprint: str
    data_fingerprint: str
    datasets: dict[str, str] = field(default_factory=dict)
    guard: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


def write(target: Path, state: State, contents: Contents, group: ProcessGroup | None = None) -> None:
    """Write the folder `target`; every process of `group` (the default one if None) calls this together.

    The group must talk in host memory (gloo), and to nobody else meanwhile: a thread needs one of its own.

    Raises:
        OSError: on every process, if any of them could not write; then nothing is left under `target`.
        RuntimeError: on every process, if any of them failed otherwise.
    """
    rank, temporary = torch.distributed.get_rank(group), temporary_name(target)

    def together(action: Callable[[], None]) -> None:
        _together(action, temporary, group)

    together(lambda: _start(temporary, contents.tokenizer_folder) if rank == 0 else None)
    fragments: list[Fragment] = []
    files: dict[str, FileRecord] = {}
    together(lambda: _write_own(temporary, rank, state, fragments, files))
    gathered: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.gather_object((fragments, files), gathered if rank == 0 else None, group=group)

    def commit() -> None:
        all_fragments = tuple(fragment for found, _ in gathered for fragment in found)
        written = {name: record for _, found in gathered for name, record in found.items()}
        _commit(temporary, target, contents, all_fragments, written)

    together(lambda: commit() if rank == 0 else None)


def write_weights(
    target: Path, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor], contents: Contents
) -> None:
    """Write the folder `target` from one process that has no group and no optimizer: weights only.

    Args:
        shapes: of the canonical parameters.
        read: gives a whole parameter; called once for each, and the result is dropped before the next call.

    Raises:
        OSError: it could not be written; then nothing is left under `target`.
    """
    temporary = temporary_name(target)
    relative = f"{FRAGMENTS}/rank_00000.safetensors"
    parts = {
        f"{name}/{WEIGHT}/{number}": whole_slice(name, shape) for number, (name, shape) in enumerate(shapes.items())
    }
    try:
        _start(temporary, contents.tokenizer_folder)
        record = write_tensors(
            temporary / relative,
            {key: (part.numel,) for key, part in parts.items()},
            lambda key: read(parts[key].name).reshape(-1),
            torch.float32,
        )
        fragments = tuple(_fragment(relative, key, WEIGHT, Piece(part, 0, part.numel)) for key, part in parts.items())
        _commit(temporary, target, contents, fragments, {relative: record}, kinds=(WEIGHT,))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _commit(
    temporary: Path,
    target: Path,
    contents: Contents,
    fragments: tuple[Fragment, ...],
    written: dict[str, FileRecord],
    kinds: tuple[str, ...] = KINDS,
) -> None:
    """The manifest, and then the name."""
    for name, record in written.items():
        path = temporary / name
        if not path.is_file() or path.stat().st_size != record.bytes:
            raise OSError(f"{path} was written by another process and is not here: run_dir must be one for all")
    copied = {f"{TOKENIZER}/{path.name}": record_of(path) for path in sorted((temporary / TOKENIZER).iterdir())}
    manifest = Manifest(
        producer=f"jp-llm {jp_llm.__version__}",
        state=contents.state,
        guard=contents.guard,
        origin=contents.origin,
        seed=contents.seed,
        layout=contents.layout,
        config=contents.config,
        config_sha256=fingerprint_of(contents.config),
        tokenizer_fingerprint=contents.tokenizer_fingerprint,
        data_fingerprint=contents.data_fingerprint,
        datasets=contents.datasets,
        parameters=contents.parameters,
        kinds=kinds,
        fragments=fragments,
        files=written | copied,
    )
    write_manifest(temporary, manifest)
    # Every file is durable by now, and so is its name: `atomic_writer` sees to both.
    os.rename(temporary, target)
    fsync_directory(target.parent)


def _start(temporary: Path, tokenizer_folder: Path) -> None:
    """An empty folder with the tokenizer in it; what a killed process left behind goes."""
    for left_over in temporary.parent.glob(".step_*.tmp"):
        shutil.rmtree(left_over, ignore_errors=left_over != temporary)
    (temporary / FRAGMENTS).mkdir(parents=True)
    (temporary / TOKENIZER).mkdir()
    for path in tokenizer_folder.iterdir():
        if path.is_file():
            with atomic_writer(temporary / TOKENIZER / path.name) as file:
                file.write(path.read_bytes())
    # The checkpoints folder may be new.
    fsync_directory(temporary.parent.parent)


def _write_own(
    temporary: Path, rank: int, state: State, fragments: list[Fragment], files: dict[str, FileRecord]
) -> None:
    relative = f"{FRAGMENTS}/rank_{rank:05d}.safetensors"
    tensors: dict[str, Tensor] = {}
    for piece, values in state:
        for kind, tensor in values.items():
            key = f"{piece.part.name}/{kind}/{len(tensors)}"
            tensors[key] = tensor
            fragments.append(_fragment(relative, key, kind, piece))
    if tensors:
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        files[relative] = write_tensors(temporary / relative, shapes, tensors.__getitem__, torch.float32)


def _fragment(file: str, key: str, kind: str, piece: Piece) -> Fragment:
    part = piece.part
    return Fragment(
        file=file,
        key=key,
        name=part.name,
        kind=kind,
        offset=part.offset,
        shape=part.shape,
        start=piece.start,
        stop=piece.stop,
    )


def _together(action: Callable[[], None], temporary: Path, group: ProcessGroup | None) -> None:
    """Act, and raise on every process if any of them failed: the others would wait for it in the next step."""
    problem: tuple[str, bool] | None = None
    try:
        action()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}", isinstance(error, OSError)
    everyone: list[tuple[str, bool] | None] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(everyone, problem, group=group)
    found = [each for each in everyone if each]
    if found:
        if torch.distributed.get_rank(group) == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        # A full disk can be lived with for a while, a bug cannot.
        kind = OSError if all(of_disk for _, of_disk in found) else RuntimeError
        raise kind("; ".join(dict.fromkeys(text for text, _ in found)))
