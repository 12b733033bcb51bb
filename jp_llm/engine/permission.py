"""Asks, between the gradients of a step and its update, whether the update may happen.

DeepSpeed skips an update by itself where the gradient norm is not finite: it clears the gradients and touches neither
weights nor moments nor AdamW's count, on every process alike. Whoever may not update is told such a norm. Checked with
the version of DeepSpeed that `jp_llm.engine.zero` names; `missing` says what another one lacks.
"""

import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

Allowed = Callable[[float], bool]
"""Gradient norm before clipping, NaN if it is not finite -> whether the update may be applied."""

_OF_PARTITIONS = "_get_norm_groups"  # ZeRO-3: the norm of each parameter group
_OF_BUCKETS = "scaled_global_norm"  # ZeRO-1 and 2
_OF_TENSORS = "get_global_norm_of_tensors"  # ZeRO-1 in bf16: a function of the module


def missing(optimizer: Any) -> list[str]:
    """Names that are leant on and that are not there."""
    owner, name = _source(optimizer)
    needed = {_OF_BUCKETS: [name, "check_overflow", "overflow"]}.get(name, [name])
    return [each for each in needed if not hasattr(owner, each)]


@contextmanager
def asking(optimizer: Any, allowed: Allowed) -> Iterator[list[float]]:
    """While this is open, a step of `optimizer` asks `allowed` once, before it touches anything.

    Yields:
        Where the norm will stand once it was asked about.
    """
    owner, name = _source(optimizer)
    original = getattr(owner, name)
    norms: list[float] = []

    def asked(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        norms.append(_total(found))
        if allowed(norms[-1]):
            return found
        return [math.inf] if isinstance(found, list) else torch.full_like(found, math.inf)

    with _replaced(owner, name, asked), _without_overflow_warnings():
        if name != _OF_BUCKETS:
            yield norms
            return
        # It would look for what is not finite before the norm is computed, which finds the same, and not ask then.
        with _replaced(owner, "check_overflow", lambda partition_gradients=True: None):
            yield norms


def _source(optimizer: Any) -> tuple[Any, str]:
    for name in (_OF_PARTITIONS, _OF_BUCKETS):
        if hasattr(optimizer, name):
            return optimizer, name
    return sys.modules[type(optimizer).__module__], _OF_TENSORS


def _total(found: Any) -> float:
    from deepspeed.runtime.utils import combine_grad_norm_groups

    norm = float(combine_grad_norm_groups(found) if isinstance(found, list) else found)
    # DeepSpeed's helpers write -1 for what is not finite.
    return norm if math.isfinite(norm) and norm >= 0 else math.nan


@contextmanager
def _without_overflow_warnings() -> Iterator[None]:
    # It would say that gradients are not finite. The loop says what is the case.
    def other(record: logging.LogRecord) -> bool:
        return "OVERFLOW" not in record.getMessage()

    logger = logging.getLogger("DeepSpeed")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
