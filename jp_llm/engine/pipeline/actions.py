"""What a pipeline stage does, as a plain list, and a referee that plays the lists of all stages against each other.

The model is cut into num_chunks x num_stages virtual stages. Virtual stage v = chunk x num_stages + stage: chunk 0 runs
through all stages, then chunk 1 from the first stage again, and so on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jp_llm.parallel.channels import Kind, channel


@dataclass(frozen=True)
class Action:
    """Forward or backward of one micro-batch through one chunk of the stage that owns the list."""

    kind: Kind
    chunk: int
    micro_batch: int

    def __str__(self) -> str:
        return f"{self.kind} of micro-batch {self.micro_batch} in chunk {self.chunk}"


class Edge(NamedTuple):
    """Two neighbouring virtual stages between which a message travels; `low` + 1 is the other one."""

    low: int
    channel: str
    """Key of `Grid.channels`."""


def edges(action: Action, stage: int, num_stages: int, num_chunks: int) -> tuple[Edge | None, Edge | None]:
    """Where the input of an action on `stage` comes from and where its output goes; None at the ends of the model."""
    virtual = action.chunk * num_stages + stage

    def edge(low: int) -> Edge | None:
        if not 0 <= low < num_chunks * num_stages - 1:
            return None
        return Edge(low, channel(action.kind, low % num_stages, num_stages))

    below, above = edge(virtual - 1), edge(virtual)
    return (below, above) if action.kind == "forward" else (above, below)


@dataclass(frozen=True)
class Simulation:
    """What a run of the lists would look like if messages took no time."""

    peak_in_flight: tuple[int, ...]
    """Per stage: most (chunk, micro-batch) pairs whose forward has begun and whose backward has not ended."""
    makespan: float
    """From the first action to the end of the last, in the unit of the given costs."""
    bubble: float
    """Share of makespan x stages in which a stage does nothing."""


def check(
    actions_by_stage: Sequence[Sequence[Action]],
    num_micro_batches: int,
    num_chunks: int,
    *,
    with_backward: bool = True,
    forward_cost: float = 1.0,
    backward_cost: float = 2.0,
) -> Simulation:
    """Play the lists of all stages against each other.

    Args:
        with_backward: whether every forward must be followed by a backward (False for evaluation).
        forward_cost: time of a forward through one chunk; messages are free.
        backward_cost: time of a backward through one chunk.

    Raises:
        ValueError: an action is missing, doubled or unknown; two stages disagree about the order of their messages
            (NCCL has no tags, so that one would read the other's tensor); or all stages wait for each other.
    """
    _check_completeness(actions_by_stage, num_micro_batches, num_chunks, with_backward)
    _check_message_order(actions_by_stage, num_chunks)
    num_stages = len(actions_by_stage)
    costs = {"forward": forward_cost, "backward": backward_cost}
    ended: dict[tuple[str, int, int], float] = {}  # kind, virtual stage, micro-batch
    clocks = [0.0] * num_stages
    next_indices = [0] * num_stages
    while waiting := [s for s in range(num_stages) if next_indices[s] < len(actions_by_stage[s])]:
        moved = False
        for stage in waiting:
            for action in actions_by_stage[stage][next_indices[stage] :]:
                needed = list(_needs(action, stage, num_stages, num_chunks))
                if any(need not in ended for need in needed):
                    break
                start = max([clocks[stage], *(ended[need] for need in needed)])
                clocks[stage] = start + costs[action.kind]
                ended[action.kind, action.chunk * num_stages + stage, action.micro_batch] = clocks[stage]
                next_indices[stage] += 1
                moved = True
        if not moved:
            stuck = (f"stage {s} before {actions_by_stage[s][next_indices[s]]}" for s in waiting)
            raise ValueError(f"every stage waits for another: {'; '.join(stuck)}")
    makespan = max(clocks)
    work = sum(costs[action.kind] for actions in actions_by_stage for action in actions)
    return Simulation(
        peak_in_flight=tuple(_peak_in_flight(actions) for actions in actions_by_stage),
        makespan=makespan,
        bubble=1 - work / (makespan * num_stages),
    )


def _needs(action: Action, stage: int, num_stages: int, num_chunks: int) -> Iterator[tuple[str, int, int]]:
    """What must have ended before an action begins: kind, virtual stage, micro-batch."""
    virtual = action.chunk * num_stages + stage
    if action.kind == "backward":
        yield "forward", virtual, action.micro_batch
    source, _ = edges(action, stage, num_stages, num_chunks)
    if source is not None:
        yield action.kind, source.low if source.low != virtual else virtual + 1, action.micro_batch


def _check_completeness(
    actions_by_stage: Sequence[Sequence[Action]], num_micro_batches: int, num_chunks: int, with_backward: bool
) -> None:
    kinds: tuple[Kind, ...] = ("forward", "backward") if with_backward else ("forward",)
    wanted = {
        Action(kind, chunk, micro_batch)
        for kind in kinds
        for chunk in range(num_chunks)
        for micro_batch in range(num_micro_batches)
    }
    for stage, actions in enumerate(actions_by_stage):
        counts = Counter(actions)
        for action in sorted(wanted | counts.keys(), key=str):
            expected = int(action in wanted)
            if counts[action] != expected:
                raise ValueError(f"stage {stage}: {action} stands {counts[action]} times in its list, not {expected}")


def _check_message_order(actions_by_stage: Sequence[Sequence[Action]], num_chunks: int) -> None:
    num_stages = len(actions_by_stage)
    if num_stages == 1:
        return
    sent: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)  # channel, lower stage -> edge, micro-batch
    received: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for stage, actions in enumerate(actions_by_stage):
        for action in actions:
            source, target = edges(action, stage, num_stages, num_chunks)
            for edge, lists in ((source, received), (target, sent)):
                if edge is not None:
                    lists[edge.channel, edge.low % num_stages].append((edge.low, action.micro_batch))
    for (name, low), messages in sent.items():
        for written, read in zip(messages, received[name, low], strict=True):
            if written != read:
                raise ValueError(
                    f"channel {name} between stages {low} and {(low + 1) % num_stages}: micro-batch {written[1]} of "
                    f"virtual stage {written[0]} is sent where micro-batch {read[1]} of {read[0]} is expected"
                )


def _peak_in_flight(actions: Sequence[Action]) -> int:
    now = peak = 0
    for action in actions:
        now += 1 if action.kind == "forward" else -1
        peak = max(peak, now)
    return peak
