"""Every module of a run, of however many processes, built and checked in one process.

There are as many different ones as pipeline stages x tensor ranks. They stand on the meta device and run there for
their shapes: no weight exists and nothing is sent.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.memory import chunks, effective_stage
from jp_llm.config.run import RunConfig
from jp_llm.config.stages import Stage
from jp_llm.engine.module import StageModule
from jp_llm.model.decoder import Decoder
from jp_llm.optim.groups import decays
from jp_llm.parallel.slices import Slice, flat_pieces
from jp_llm.parallel.tensor import Placement, TensorAxis

ALIGNMENT = 2
"""DeepSpeed pads a flat group of parameters to a multiple of this x data size (`nccl_start_alignment_factor`)."""


class DataShare(NamedTuple):
    """What one data-parallel rank holds of the optimizer state of a module."""

    elements: int
    padding: int
    """Elements beyond the end of what is divided."""
    saved_pieces: int
    """Pieces of canonical parameters that it writes into a checkpoint, each with a weight and two moments."""
    saved_elements: int


@dataclass(frozen=True)
class RankPlan:
    """One module: what a tensor rank of a pipeline stage holds."""

    parameters: int
    owned: int
    """Parameters that are counted here; of what several tensor ranks hold alike, one owns it."""
    shares: tuple[DataShare, ...]
    """By data rank."""


def plan(config: RunConfig, layout: Layout) -> tuple[tuple[RankPlan, ...], ...]:
    """Build and check every distinct module; by pipeline rank, then by tensor rank.

    Raises:
        RuntimeError: shapes do not fit, or the modules do not cover the model exactly once, which would be a bug.
    """
    boxes: dict[str, list[Slice]] = defaultdict(list)
    plans = []
    for parts in chunks(config):
        ranks = []
        for tensor_rank in range(layout.tensor):
            parameters = list(_parameters(config, parts, TensorAxis(tensor_rank, layout.tensor)))
            for _, placement in parameters:
                if placement.owned:
                    for part in placement.slices:
                        boxes[part.name].append(part)
            ranks.append(
                RankPlan(
                    parameters=sum(size for size, _ in parameters),
                    owned=sum(size for size, placement in parameters if placement.owned),
                    shares=tuple(_shares(parameters, effective_stage(config), layout.data)),
                )
            )
        plans.append(tuple(ranks))
    _check_cover(parameter_shapes(config.model), boxes)
    saved = sum(share.saved_elements for stage in plans for rank in stage for share in rank.shares)
    if saved != num_parameters(config.model):
        raise RuntimeError(f"a checkpoint would hold {saved:,} of {num_parameters(config.model):,} parameters")
    return tuple(plans)


def _parameters(config: RunConfig, parts: Sequence[Stage], axis: TensorAxis) -> Iterator[tuple[int, Placement]]:
    """Number of elements and placement of each parameter of one module, in order; its shapes are checked."""
    with torch.device("meta"):
        module = StageModule(config, parts, axis)
    for chunk in module.chunks:
        assert isinstance(chunk, Decoder)
        _check_forward(chunk, config)
    placements = module.placements()
    for name, parameter in module.named_parameters():
        described = sum(piece.numel for piece in placements[name].slices)
        if described != parameter.numel():
            raise RuntimeError(f"{name} has {parameter.numel()} elements, its slices {described}")
        yield parameter.numel(), placements[name]


@torch.no_grad()
def _check_forward(decoder: Decoder, config: RunConfig) -> None:
    rows, length, tensor = config.train.micro_batch_size, config.seq_length, decoder.axis.size
    hidden = (rows, length // tensor, config.model.hidden_size)
    tokens = torch.empty(rows, length, dtype=torch.long, device="meta")
    out = decoder(tokens if decoder.reads_tokens else torch.empty(hidden, device="meta"))
    if tuple(out.shape) != hidden:
        raise RuntimeError(f"hidden states are {tuple(out.shape)} instead of {hidden}")


def _shares(parameters: list[tuple[int, Placement]], zero_stage: int, data: int) -> Iterator[DataShare]:
    """How the optimizer state is divided over data parallel (`jp_llm.engine.zero`).

    Stage 0 divides nothing, and data rank 0 saves. Stages 1 and 2 cut the flat group of parameters that decay, and
    that of the others; stage 3 cuts every parameter.
    """
    if zero_stage in (1, 2):
        groups = [[item for item in parameters if _decays(item[1]) is wanted] for wanted in (True, False)]
        multiple = ALIGNMENT * data
    else:
        groups, multiple = [[item] for item in parameters], data
    for rank in range(data):
        elements = padding = pieces = saved = 0
        for group in groups:
            size = sum(numel for numel, _ in group)
            if zero_stage == 0:
                begin, end = 0, size
            else:
                capacity = math.ceil(size / multiple) * multiple // data
                begin, end = rank * capacity, (rank + 1) * capacity
            held = min(end, size) - min(begin, size)
            elements += held
            padding += end - begin - held
            if zero_stage == 0 and rank > 0:
                continue
            position = 0
            for numel, placement in group:
                if placement.owned:
                    for piece in flat_pieces(placement.slices, begin - position, end - position):
                        pieces += 1
                        saved += piece.size
                position += numel
        yield DataShare(elements, padding, pieces, saved)


def _decays(placement: Placement) -> bool:
    return all(decays(part.name) for part in placement.slices)


def _check_cover(shapes: dict[str, tuple[int, ...]], boxes: dict[str, list[Slice]]) -> None:
    """Every element of every canonical parameter lies in exactly one box."""
    for name, shape in shapes.items():
        found = boxes.get(name, [])
        held = sum(box.numel for box in found)
        doubled = any(_overlap(box, other) for number, box in enumerate(found) for other in found[:number])
        if doubled or held != math.prod(shape):
            raise RuntimeError(
                f"{name}: processes own {held:,} of {math.prod(shape):,} elements, some twice: {doubled}"
            )


def _overlap(box: Slice, other: Slice) -> bool:
    return all(
        max(first, second) < min(first + size, second + other_size)
        for first, second, size, other_size in zip(box.offset, other.offset, box.shape, other.shape, strict=True)
    )
