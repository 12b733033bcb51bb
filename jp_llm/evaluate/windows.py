"""Windows over a document that is longer than the context: every token is predicted exactly once."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Inputs are tokens [start, stop) of a document; the predictions of tokens (scored, stop] count."""

    start: int
    scored: int
    """Position of the input whose prediction is the first to count."""
    stop: int


def windows(num_targets: int, context: int, stride: int) -> Iterator[Window]:
    """Cover targets 1 .. num_targets (token 0 is the begin token, which nothing predicts).

    The first window predicts as much as it can. Each later one predicts the next `stride` targets and looks back as
    far as `context` inputs allow, so no prediction behind the first window sees less than context - stride + 1 tokens.
    """
    if not 1 <= stride <= context:
        raise ValueError(f"stride {stride} must be between 1 and the context of {context}")
    stop = min(context, num_targets)
    yield Window(0, 0, stop)
    while stop < num_targets:
        scored, stop = stop, min(stop + stride, num_targets)
        yield Window(max(0, stop - context), scored, stop)
