"""One forward, one backward: the order in which a pipeline stage works (Narayanan et al. 2021, "Efficient Large-Scale
Language Model Training on GPU Clusters Using Megatron-LM", sections 2.2.1 and 2.2.2)."""

import math
from itertools import chain

from jp_llm.engine.pipeline.actions import Action

Schedule = tuple[tuple[Action, ...], ...]
"""Per stage: what it does, in order."""


def schedule(num_stages: int, num_micro_batches: int, num_chunks: int = 1) -> Schedule:
    """Training: some forwards to fill the pipeline, then one forward and one backward in turn, then the backwards left.

    With one chunk (PipeDream-Flush) stage s holds at most min(micro-batches, stages - s) micro-batches in flight, and
    (p - 1) / (m + p - 1) of the time is lost. More chunks divide the bubble, (p - 1) / (chunks x m + p - 1) where p
    divides m, and send as many times more messages.

    Raises:
        ValueError: a number below 1.
    """
    _check_positive(num_stages, num_micro_batches, num_chunks)
    return tuple(_one_f_one_b(stage, num_stages, num_micro_batches, num_chunks) for stage in range(num_stages))


def forward_only(num_stages: int, num_micro_batches: int, num_chunks: int = 1) -> Schedule:
    """Evaluation: the forwards of `schedule`, in its order, the same on every stage.

    Raises:
        ValueError: a number below 1.
    """
    _check_positive(num_stages, num_micro_batches, num_chunks)
    forwards = tuple(
        Action("forward", chunk, micro_batch)
        for chunk, micro_batch in _order(num_stages, num_micro_batches, num_chunks)
        if micro_batch < num_micro_batches
    )
    return (forwards,) * num_stages


def _one_f_one_b(stage: int, num_stages: int, num_micro_batches: int, num_chunks: int) -> tuple[Action, ...]:
    order = _order(num_stages, num_micro_batches, num_chunks)
    forwards = [Action("forward", chunk, micro_batch) for chunk, micro_batch in order]
    backwards = [Action("backward", num_chunks - 1 - chunk, micro_batch) for chunk, micro_batch in order]
    stages_behind = num_stages - stage - 1
    if num_chunks == 1:
        ahead = min(stages_behind, len(order))
    else:
        # The first backward is that of the last chunk, which comes after p forwards of every earlier one; the way to
        # the last stage and back takes as long as two actions per stage.
        ahead = min(2 * stages_behind + (num_chunks - 1) * num_stages, len(order))
    pairs = zip(forwards[ahead:], backwards, strict=False)
    actions = (*forwards[:ahead], *chain.from_iterable(pairs), *backwards[len(order) - ahead :])
    return tuple(action for action in actions if action.micro_batch < num_micro_batches)


def _order(num_stages: int, num_micro_batches: int, num_chunks: int) -> list[tuple[int, int]]:
    """(chunk, micro-batch) of the forwards: as many micro-batches as stages through chunk 0, the same through chunk 1.

    Interleaving needs whole groups. Micro-batches that a last group lacks stand in the order all the same and are left
    out of the lists at the end: what depends on an action is of the same micro-batch, so that no list waits for them.
    """
    if num_chunks == 1:
        return [(0, micro_batch) for micro_batch in range(num_micro_batches)]
    return [
        (chunk, group * num_stages + member)
        for group in range(math.ceil(num_micro_batches / num_stages))
        for chunk in range(num_chunks)
        for member in range(num_stages)
    ]


def _check_positive(num_stages: int, num_micro_batches: int, num_chunks: int) -> None:
    if min(num_stages, num_micro_batches, num_chunks) < 1:
        raise ValueError(
            f"{num_stages} stages, {num_micro_batches} micro-batches, {num_chunks} chunks: each must be at least 1"
        )
