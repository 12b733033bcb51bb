"""Read the canonical parameters out of a Hugging Face folder, as `jp_llm.checkpoint.reader` does of a checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jp_llm.arch.huggingface import UnsupportedModel, buffer_names, name_rules, read_config
from jp_llm.arch.parameters import parameter_shapes
from jp_llm.arch.spec import NameRule
from jp_llm.checkpoint.format import KINDS, WEIGHT
from jp_llm.config.build import build
from jp_llm.config.model import ModelConfig
from jp_llm.huggingface import transforms
from jp_llm.huggingface.files import STORED_DTYPES, StoredTensor, config_of, opened, stored_tensors
from jp_llm.parallel.slices import Piece, whole_slice
from jp_llm.runtime.errors import UserError

_HEADS = ("lm_head.weight", "embed_out.weight")
"""Two names of the head: GPT-NeoX was written with the second by transformers 4, and is by us."""


class HuggingFaceReader:
    """Reads one Hugging Face folder. Memory: one tensor of the files, and what is asked for of it.

    Everything is checked when it is opened, from config.json and the headers of the files: a tensor that is missing,
    left over or misshapen is an error before a number is read.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: the model cannot be computed here, or the files do not fit config.json; all reasons at once.
        """
        self.folder = folder
        stored = stored_tensors(folder)
        self.model, self.notes = _model_of(folder, stored)
        self._shapes = parameter_shapes(self.model)
        self._places = _places(folder, self.model, stored)
        self._rules: dict[str, tuple[NameRule, int]] = {
            source: (rule, number) for rule in name_rules(self.model) for number, source in enumerate(rule.sources)
        }
        self.dtypes = tuple(sorted({STORED_DTYPES[place.dtype] for place in self._places.values()}))
        """Data types of the files, in our words."""

    @property
    def names(self) -> list[str]:
        """Canonical parameters, in the order of the forward pass."""
        return list(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Whole shape of a canonical parameter, the padding of the vocabulary included."""
        return self._shapes[name]

    def read(self, name: str) -> Tensor:
        """A whole canonical parameter in fp32."""
        part = whole_slice(name, self.shape(name))
        return self.read_piece(Piece(part, 0, part.numel), WEIGHT).view(part.shape)

    def read_piece(self, piece: Piece, kind: str) -> Tensor:
        """The elements of one piece in fp32, [piece.size]; the moments are zero, for nothing was averaged yet.

        Raises:
            UserError: the parameter has another shape, or a number of it is not finite.
        """
        part = piece.part
        if self._shapes.get(part.name) != part.whole:
            raise UserError(
                f"{self.folder}: {part.name} is wanted in shape {part.whole} and stored in "
                f"{self._shapes.get(part.name)}; the folder holds another model"
            )
        if kind != WEIGHT:
            if kind not in KINDS:
                raise ValueError(f"{kind}: one of {', '.join(KINDS)}")
            return torch.zeros(piece.size)
        rule, number = self._rules[part.name]
        place = self._places[rule.key]
        with opened(place.file) as file:
            # What is loaded is a view of the mapped file: only what is touched is read.
            whole = transforms.restore(rule, file.get_tensor(place.key), self.model)[number]
            values = whole[part.index].reshape(-1)[piece.start : piece.stop].to(torch.float32, copy=True)
        if not values.isfinite().all():
            raise UserError(f"{place.file}: {place.key} holds NaN or infinity; copy it again, or take another model")
        return values


def _model_of(folder: Path, stored: dict[str, StoredTensor]) -> tuple[ModelConfig, tuple[str, ...]]:
    """The model section of a folder, and what is to be said about it."""
    try:
        found = read_config(config_of(folder))
    except UnsupportedModel as error:
        raise UserError(*(f"{folder}: {problem}" for problem in error.problems)) from None
    notes = list(found.ignored)
    fields = dict(found.fields)
    heads = [stored[name] for name in _HEADS if name in stored]
    if fields["tie_word_embeddings"] and heads:
        if _same_numbers(heads[0], _embedding(_built(folder, fields), stored)):
            notes.append(f"{heads[0].key} is in the files and equals the embedding: one copy is kept")
        else:
            fields["tie_word_embeddings"] = False
            notes.append(f"{heads[0].key} differs from the embedding: not tied, whatever config.json says")
    return _built(folder, fields), tuple(notes)


def _built(folder: Path, fields: dict[str, Any]) -> ModelConfig:
    try:
        return build(ModelConfig, fields)
    except UserError as error:
        raise UserError(*(f"{folder}: {problem}" for problem in error.problems)) from None


def _embedding(model: ModelConfig, stored: dict[str, StoredTensor]) -> StoredTensor | None:
    key = next(rule.key for rule in name_rules(model) if "embedding.weight" in rule.sources)
    return next((stored[name] for name in _spellings(key) if name in stored), None)


def _same_numbers(one: StoredTensor, other: StoredTensor | None) -> bool:
    if other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    with opened(one.file) as file, opened(other.file) as other_file:
        return torch.equal(file.get_tensor(one.key), other_file.get_tensor(other.key))


def _places(folder: Path, model: ModelConfig, stored: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Where the tensor of each name rule lies; everything in the files belongs to one, or is a known buffer.

    Raises:
        UserError: it is not so, with every tensor that is missing, left over or misshapen.
    """
    shapes = transforms.tensor_shapes(model)
    places: dict[str, StoredTensor] = {}
    problems = []
    for key, shape in shapes.items():
        spellings = [name for name in _spellings(key) if name in stored]
        if not spellings:
            problems.append(f"{key} {shape} is missing{_head_advice(key)}")
            continue
        place = places[key] = stored[spellings[0]]
        if place.shape != shape:
            problems.append(f"{place.key} is {place.shape} in the files and {shape} by config.json")
        if place.dtype not in STORED_DTYPES:
            problems.append(f"{place.key} is stored as {place.dtype}; can be read: {', '.join(STORED_DTYPES)}")
    known = {place.key for place in places.values()}
    dropped = {name for buffer in buffer_names(model) for name in _spellings(buffer)}
    if model.tied:
        dropped |= set(_HEADS)
    problems += [f"{name} is left over: nothing here is made of it" for name in sorted(stored.keys() - known - dropped)]
    if problems:
        raise UserError(*(f"{folder}: {problem}" for problem in problems))
    return places


def _spellings(key: str) -> Iterator[str]:
    """Names that a tensor may have on disk: as transformers writes it, without the name of the inner model (old GPT-2
    files), and both names of the head."""
    if key in _HEADS:
        yield from _HEADS
        return
    yield key
    yield key.partition(".")[2]


def _head_advice(key: str) -> str:
    if key not in _HEADS:
        return ""
    return "; if the embedding is the head, write tie_word_embeddings true into config.json"
