"""Which layers stand on which pipeline stage, so that no stage has much more to compute than another."""

from dataclasses import dataclass
from heapq import heapify, heapreplace

from jp_llm.config.arithmetic import block_flops_per_token, head_flops_per_token
from jp_llm.config.model import ModelConfig
from jp_llm.runtime.errors import config_error


@dataclass(frozen=True)
class Stage:
    """What one virtual stage holds of the model."""

    layers: range
    """Global layer numbers."""
    embedding: bool
    head: bool
    """Whether the final norm and the head stand here."""
    flops_per_token: int
    """Matmul FLOPs of forward and backward and of what is recomputed; looking up an embedding takes none."""


def divide(
    model: ModelConfig, num_stages: int, num_chunks: int, seq_length: int, *, recompute: bool = False
) -> tuple[Stage, ...]:
    """Cut the model into num_stages x num_chunks virtual stages, in the order of the layers.

    Pipeline stage s holds chunks `divide(...)[s::num_stages]`. The dearest virtual stage is as cheap as possible, then
    the second dearest and so on; among equals fewer layers stand with the head, then with the embedding.

    Args:
        recompute: whether blocks run forward a second time before their backward (activation checkpointing).

    Raises:
        UserError: fewer layers than virtual stages.
    """
    parts = num_stages * num_chunks
    if model.num_layers < parts:
        raise config_error(
            [
                f"parallel.pipeline: {num_stages} stages x parallel.virtual_stages={num_chunks} are {parts} parts, "
                f"each needs a layer, and the model has {model.num_layers}; make one of the two smaller"
            ]
        )
    block, head = block_flops_per_token(model, seq_length), head_flops_per_token(model)
    if recompute:
        block += block // 3  # forward is one of the three products per weight

    def cost(part: int, layers: int) -> int:
        return layers * block + (head if part == parts - 1 else 0)

    # Blocks cost the same everywhere, so giving each in turn to the part that is cheapest with it is exact (greedy
    # allocation of identical units under convex costs: Fox 1966, "Discrete optimization via marginal analysis").
    # The rest of the key settles equals: not with the head, not with the embedding, late, where less is in flight.
    counts = [1] * parts
    cheapest = [(cost(part, 2), part == parts - 1, -part) for part in range(parts)]
    heapify(cheapest)
    for _ in range(model.num_layers - parts):
        _, last, negative = cheapest[0]
        counts[-negative] += 1
        heapreplace(cheapest, (cost(-negative, counts[-negative] + 1), last, negative))
    starts = [sum(counts[:part]) for part in range(parts)]
    return tuple(
        Stage(
            layers=range(start, start + count),
            embedding=part == 0,
            head=part == parts - 1,
            flops_per_token=cost(part, count),
        )
        for part, (start, count) in enumerate(zip(starts, counts, strict=True))
    )
