"""Traffic between the stages of a pipeline: which message travels in which process group. Pure names.

In each group a stage talks with one other and in one direction. For on NCCL the messages of a group run one after the
other, in the order in which a process asked for them (where `init_process_group` was given a device, as DeepSpeed
does). Were a stage to receive from below and send above in one group, a receive posted early would hold up the send,
and stages with several chunks would come to wait for each other in a circle.
"""

from collections.abc import Iterator
from typing import Literal

Kind = Literal["forward", "backward"]
"""Hidden states to the next stage, or their gradients to the one before."""


def channel(kind: Kind, lower: int, num_stages: int) -> str:
    """The channel between stage `lower` and the next one, which after the last is the first again.

    Neighbouring links take different ones; the way round from the last stage to the first meets both and has its own.
    """
    if lower == num_stages - 1:
        return f"{kind}_wrap"
    return f"{kind}_odd" if lower % 2 else f"{kind}_even"


def links(num_stages: int, virtual_stages: int) -> Iterator[tuple[Kind, int]]:
    """Every (kind, lower stage) between which messages travel; only virtual stages use the way round."""
    if num_stages > 1:
        kinds: tuple[Kind, Kind] = ("forward", "backward")
        for kind in kinds:
            for lower in range(num_stages - (virtual_stages == 1)):
                yield kind, lower


def channels(num_stages: int, virtual_stages: int) -> tuple[str, ...]:
    """All channels of one pipeline, each once."""
    return tuple(dict.fromkeys(channel(kind, lower, num_stages) for kind, lower in links(num_stages, virtual_stages)))
