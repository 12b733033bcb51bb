"""The names of the channels, and why there are so many: NCCL played by hand."""

from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.engine.pipeline.actions import Action, Edge, edges
from jp_llm.engine.pipeline.one_f_one_b import Schedule, forward_only, schedule
from jp_llm.parallel.channels import channel, channels, links


def test_names() -> None:
    assert channels(1, 4) == ()
    assert channels(2, 1) == ("forward_even", "backward_even")
    assert channels(2, 2) == ("forward_even", "forward_wrap", "backward_even", "backward_wrap")
    assert channels(4, 1) == ("forward_even", "forward_odd", "backward_even", "backward_odd")


@given(st.integers(2, 9), st.integers(1, 3))
def test_in_each_channel_a_stage_has_one_partner(num_stages: int, virtual_stages: int) -> None:
    partners = defaultdict(set)
    for kind, lower in links(num_stages, virtual_stages):
        upper = (lower + 1) % num_stages
        partners[channel(kind, lower, num_stages), lower].add(upper)
        partners[channel(kind, lower, num_stages), upper].add(lower)
    assert all(len(found) == 1 for found in partners.values())


def stuck(lists: Schedule, num_chunks: int, name_of: Callable[[Edge], str]) -> bool:
    """Whether some stage never ends, where the messages of a stage in one channel run strictly one after the other.

    As on NCCL with one communicator per channel: what is asked for stands in a queue, a message passes when it stands
    first in the queues of both ends, and receives are posted one action ahead, as the player does.
    """
    num_stages = len(lists)
    queues: dict[tuple[int, str], list[tuple[int, Action]]] = defaultdict(list)  # virtual edge, action of the message
    ended = [0] * num_stages
    posted = [0] * num_stages
    arrived: set[tuple[int, int, Action]] = set()

    def message(edge: Edge, action: Action) -> tuple[int, Action]:
        return edge.low, Action(action.kind, 0, action.micro_batch)

    def advance(stage: int) -> bool:
        actions = lists[stage]
        while posted[stage] < min(ended[stage] + 2, len(actions)):
            source, _ = edges(actions[posted[stage]], stage, num_stages, num_chunks)
            if source is not None:
                queues[stage, name_of(source)].append(message(source, actions[posted[stage]]))
            posted[stage] += 1
        if ended[stage] == len(actions):
            return False
        action = actions[ended[stage]]
        source, target = edges(action, stage, num_stages, num_chunks)
        if source is not None and (stage, *message(source, action)) not in arrived:
            return False
        if target is not None:
            queues[stage, name_of(target)].append(message(target, action))
        ended[stage] += 1
        return True

    def pass_one() -> bool:
        heads = {(name, stage): queue[0] for (stage, name), queue in queues.items() if queue}
        for (name, stage), head in heads.items():
            for other in range(num_stages):
                if other != stage and heads.get((name, other)) == head:
                    for end in (stage, other):
                        queues[end, name].pop(0)
                        arrived.add((end, *head))
                    return True
        return False

    while any([advance(stage) for stage in range(num_stages)]) or pass_one():
        pass
    return any(ended[stage] < len(lists[stage]) for stage in range(num_stages)) or any(queues.values())


@given(st.integers(2, 8), st.integers(1, 12), st.integers(1, 3), st.booleans())
def test_no_schedule_gets_stuck_where_messages_queue(p: int, m: int, v: int, train: bool) -> None:
    assert not stuck((schedule if train else forward_only)(p, m, v), v, lambda edge: edge.channel)


@pytest.mark.parametrize(("p", "m", "v"), [(3, 4, 2), (4, 2, 2), (4, 5, 3)])
def test_one_channel_per_direction_is_not_enough(p: int, m: int, v: int) -> None:
    for make in (schedule, forward_only):
        assert stuck(make(p, m, v), v, lambda edge: edge.channel.replace("even", "").replace("odd", ""))
