"""Read parameters and optimizer state out of a checkpoint, whole or in flat ranges, whatever layout wrote it."""

from collections import defaultdict
from math import prod
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from jp_llm.checkpoint.format import KINDS, WEIGHT, Fragment, Manifest, read_manifest
from jp_llm.parallel.slices import Piece
from jp_llm.runtime.errors import UserError


class CheckpointReader:
    """Reads one checkpoint folder; memory is bounded by the largest parameter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)
        self._fragments: dict[tuple[str, str], list[Fragment]] = defaultdict(list)
        for fragment in self.manifest.fragments:
            self._fragments[fragment.name, fragment.kind].append(fragment)
        for name, shape in self.manifest.parameters.items():
            for kind in KINDS:
                covered = sum(fragment.stop - fragment.start for fragment in self._fragments[name, kind])
                if covered != prod(shape):
                    raise UserError(
                        f"{folder}: {covered} of {prod(shape)} elements of {name} ({kind}) are stored; "
                        "use another checkpoint"
                    )

    @property
    def names(self) -> list[str]:
        """Canonical parameters, in the order of the forward pass."""
        return list(self.manifest.parameters)

    def shape(self, name: str) -> tuple[int, ...]:
        """Whole shape of a canonical parameter."""
        return self.manifest.parameters[name]

    def read(self, name: str, kind: str = WEIGHT) -> Tensor:
        """A whole canonical parameter (or moment) in fp32."""
        whole = torch.empty(self.shape(name), dtype=torch.float32)
        for fragment in self._fragments[name, kind]:
            box = whole[tuple(slice(o, o + n) for o, n in zip(fragment.offset, fragment.shape, strict=True))]
            values = self._load(fragment, 0, fragment.stop - fragment.start)
            if box.is_contiguous():
                box.view(-1)[fragment.start : fragment.stop] = values
            else:
                flat = box.reshape(-1)
                flat[fragment.start : fragment.stop] = values
                box.copy_(flat.view(box.shape))
        return whole

    def read_piece(self, piece: Piece, kind: str) -> Tensor:
        """The elements of one piece in fp32, [piece.size]; touches only what overlaps when the boxes are the same."""
        part = piece.part
        stored = self._fragments[part.name, kind]
        if any(fragment.offset != part.offset or fragment.shape != part.shape for fragment in stored):
            box = self.read(part.name, kind)[
                tuple(slice(o, o + n) for o, n in zip(part.offset, part.shape, strict=True))
            ]
            return box.reshape(-1)[piece.start : piece.stop]
        values = torch.empty(piece.size, dtype=torch.float32)
        for fragment in stored:
            start, stop = max(piece.start, fragment.start), min(piece.stop, fragment.stop)
            if start < stop:
                loaded = self._load(fragment, start - fragment.start, stop - fragment.start)
                values[start - piece.start : stop - piece.start] = loaded
        return values

    def _load(self, fragment: Fragment, start: int, stop: int) -> Tensor:
        with safe_open(self.folder / fragment.file, framework="pt") as file:
            values: Tensor = file.get_slice(fragment.key)[start:stop]
        return values
