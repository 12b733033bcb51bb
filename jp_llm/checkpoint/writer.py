"""Write a checkpoint: every process its own fragments, one rename when all of them are on disk."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch.distributed
from safetensors.torch import save_file
from torch import Tensor

import jp_llm
from jp_llm.checkpoint.format import FRAGMENTS, MANIFEST, TOKENIZER, FileRecord, Fragment, Manifest, record_of
from jp_llm.parallel.slices import Piece
from jp_llm.runtime.files import fsync_directory, write_json

State = Iterable[tuple[Piece, dict[str, Tensor]]]
"""Pieces with their state: `weight` and the moments, each [piece.size]."""


def write(
    target: Path,
    state: State,
    *,
    counters: dict[str, int],
    config: dict[str, Any],
    parameters: dict[str, tuple[int, ...]],
    tokenizer_folder: Path,
    tokenizer_fingerprint: str,
    data_fingerprint: str,
) -> None:
    """Write the folder `target`; every process of the default group calls this together.

    Raises:
        OSError: on every process, if any of them could not write; then nothing is left under `target`.
    """
    rank, temporary = torch.distributed.get_rank(), target.with_name(f".{target.name}.tmp")
    _together(lambda: _start(temporary, tokenizer_folder) if rank == 0 else None, temporary)
    fragments: list[Fragment] = []
    files: dict[str, FileRecord] = {}
    _together(lambda: _write_own(temporary, rank, state, fragments, files), temporary)
    gathered: list[Any] = [None] * torch.distributed.get_world_size() if rank == 0 else []
    torch.distributed.gather_object((fragments, files), gathered if rank == 0 else None)

    def commit() -> None:
        for path in sorted((temporary / TOKENIZER).iterdir()):
            files[f"{TOKENIZER}/{path.name}"] = record_of(path)
        manifest = Manifest(
            producer=f"jp-llm {jp_llm.__version__}",
            state=counters,
            config=config,
            tokenizer_fingerprint=tokenizer_fingerprint,
            data_fingerprint=data_fingerprint,
            parameters=parameters,
            fragments=tuple(fragment for found, _ in gathered for fragment in found),
            files={name: record for _, found in gathered for name, record in found.items()} | files,
        )
        write_json(temporary / MANIFEST, manifest.model_dump(mode="json"))
        fsync_directory(temporary / FRAGMENTS)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(temporary, target)
        fsync_directory(target.parent)

    _together(lambda: commit() if rank == 0 else None, temporary)


def _start(temporary: Path, tokenizer_folder: Path) -> None:
    """An empty folder with the tokenizer in it; what a killed process left behind goes."""
    for left_over in temporary.parent.glob(".step_*.tmp"):
        shutil.rmtree(left_over)
    (temporary / FRAGMENTS).mkdir(parents=True)
    (temporary / TOKENIZER).mkdir()
    for path in tokenizer_folder.iterdir():
        if path.is_file():
            shutil.copyfile(path, temporary / TOKENIZER / path.name)


def _write_own(
    temporary: Path, rank: int, state: State, fragments: list[Fragment], files: dict[str, FileRecord]
) -> None:
    relative = f"{FRAGMENTS}/rank_{rank:05d}.safetensors"
    tensors: dict[str, Tensor] = {}
    for piece, values in state:
        for kind, tensor in values.items():
            key = f"{piece.part.name}/{kind}/{len(tensors)}"
            tensors[key] = tensor.detach().to("cpu", copy=False).contiguous()
            fragments.append(
                Fragment(
                    file=relative,
                    key=key,
                    name=piece.part.name,
                    kind=kind,
                    offset=piece.part.offset,
                    shape=piece.part.shape,
                    start=piece.start,
                    stop=piece.stop,
                )
            )
    if not tensors:
        return
    path = temporary / relative
    save_file(tensors, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    files[relative] = record_of(path)


def _together(action: Callable[[], None], temporary: Path) -> None:
    """Act, and raise on every process if any of them failed: the others would wait for it in the next step."""
    problem = None
    try:
        action()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    everyone: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, problem)
    found = [text for text in everyone if text]
    if found:
        if torch.distributed.get_rank() == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        raise OSError("; ".join(dict.fromkeys(found)))
