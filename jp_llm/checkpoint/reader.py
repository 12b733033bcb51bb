"""Read parameters and optimizer state out of a checkpoint, whole or in flat ranges, whatever layout wrote it."""

from collections import defaultdict
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from jp_llm.checkpoint.boxes import FlatRange, common_boxes, cover_problem
from jp_llm.checkpoint.format import KINDS, WEIGHT, Fragment, Manifest, read_manifest
from jp_llm.parallel.slices import Piece, whole_slice
from jp_llm.runtime.errors import UserError


class CheckpointReader:
    """Reads one checkpoint folder. Memory: what is asked for, and the part of one fragment that it shares."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: the manifest is damaged, or the fragments are not every element exactly once.
        """
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)
        self._fragments: dict[tuple[str, str], list[tuple[FlatRange, Fragment]]] = defaultdict(list)
        for fragment in self.manifest.fragments:
            place = FlatRange(fragment.offset, fragment.shape, fragment.start, fragment.stop)
            self._fragments[fragment.name, fragment.kind].append((place, fragment))
        problems = []
        for name, shape in self.manifest.parameters.items():
            for kind in self.manifest.kinds:
                if problem := cover_problem(shape, [place for place, _ in self._fragments[name, kind]]):
                    problems.append(f"{folder}: {name} ({kind}): {problem}; use another checkpoint")
        if problems:
            raise UserError(*problems)

    @property
    def names(self) -> list[str]:
        """Canonical parameters, in the order of the forward pass."""
        return list(self.manifest.parameters)

    def shape(self, name: str) -> tuple[int, ...]:
        """Whole shape of a canonical parameter."""
        return self.manifest.parameters[name]

    def read(self, name: str, kind: str = WEIGHT) -> Tensor:
        """A whole canonical parameter (or moment) in fp32."""
        part = whole_slice(name, self.shape(name))
        return self.read_piece(Piece(part, 0, part.numel), kind).view(part.shape)

    def read_piece(self, piece: Piece, kind: str) -> Tensor:
        """The elements of one piece in fp32, [piece.size]; moments that are not stored are zero."""
        part = piece.part
        stored_shape = self.manifest.parameters.get(part.name)
        if stored_shape != part.whole:
            raise UserError(
                f"{self.folder}: {part.name} is wanted in shape {part.whole} and stored in {stored_shape}; the "
                "checkpoint is of another model, or was written by another version"
            )
        wanted = FlatRange(part.offset, part.shape, piece.start, piece.stop)
        if kind in KINDS and kind not in self.manifest.kinds:
            return torch.zeros(piece.size)
        values = torch.empty(piece.size, dtype=torch.float32)
        for stored, fragment in self._fragments[part.name, kind]:
            boxes = list(common_boxes(wanted, stored))
            if not boxes:
                continue
            # Positions grow along every dimension, so the far corners bound what is needed of the file.
            start = min(stored.position(offset) for offset, _ in boxes)
            stop = 1 + max(stored.position(_far_corner(offset, shape)) for offset, shape in boxes)
            with safe_open(self.folder / fragment.file, framework="pt") as file:
                loaded = file.get_slice(fragment.key)[start:stop]
            # What was loaded may be a view of the mapped file.
            begin = loaded.storage_offset() - start
            for offset, shape in boxes:
                source = loaded.as_strided(shape, stored.strides, begin + stored.position(offset))
                values.as_strided(shape, wanted.strides, wanted.position(offset)).copy_(source)
        return values


def _far_corner(offset: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(begin + size - 1 for begin, size in zip(offset, shape, strict=True))
