"""The schedules through the referee, and the referee through schedules that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.engine.pipeline.actions import Action, Edge, check, edges
from jp_llm.engine.pipeline.one_f_one_b import Schedule, forward_only, schedule

STAGES, MICRO_BATCHES, CHUNKS = st.integers(1, 8), st.integers(1, 20), st.integers(1, 4)


def words(actions: tuple[Action, ...]) -> str:
    """F0 = forward of micro-batch 0; F0.1 = in chunk 1."""
    return " ".join(
        f"{action.kind[0].upper()}{action.micro_batch}" + (f".{action.chunk}" if action.chunk else "")
        for action in actions
    )


def test_the_order_of_figure_4() -> None:
    # Narayanan et al. 2021, figure 4, top: 4 devices, 8 micro-batches.
    first, _, _, last = schedule(4, 8)
    assert words(first) == "F0 F1 F2 F3 B0 F4 B1 F5 B2 F6 B3 F7 B4 B5 B6 B7"
    assert words(last) == "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7"


def test_interleaved_order_by_hand() -> None:
    first, last = schedule(2, 4, 2)
    assert words(first) == "F0 F1 F0.1 F1.1 F2 B0.1 F3 B1.1 F2.1 B0 F3.1 B1 B2.1 B3.1 B2 B3"
    assert words(last) == "F0 F1 F0.1 B0.1 F1.1 B1.1 F2 B0 F3 B1 F2.1 B2.1 F3.1 B3.1 B2 B3"


@given(STAGES, MICRO_BATCHES, CHUNKS)
def test_no_schedule_deadlocks_or_mixes_messages_up(num_stages: int, num_micro_batches: int, num_chunks: int) -> None:
    check(schedule(num_stages, num_micro_batches, num_chunks), num_micro_batches, num_chunks)
    forwards = forward_only(num_stages, num_micro_batches, num_chunks)
    check(forwards, num_micro_batches, num_chunks, with_backward=False)


@given(STAGES, MICRO_BATCHES, st.integers(1, 4), st.integers(1, 4))
def test_one_chunk_meets_the_bound_and_the_bubble(p: int, m: int, forward_cost: int, backward_cost: int) -> None:
    found = check(schedule(p, m), m, 1, forward_cost=forward_cost, backward_cost=backward_cost)
    assert found.peak_in_flight == tuple(min(m, p - stage) for stage in range(p))
    assert found.makespan == (m + p - 1) * (forward_cost + backward_cost)
    assert found.bubble == pytest.approx((p - 1) / (m + p - 1))


@given(STAGES, st.integers(1, 4), st.integers(2, 4), st.integers(1, 4), st.integers(1, 4))
def test_interleaving_divides_the_bubble(p: int, groups: int, v: int, forward_cost: int, backward_cost: int) -> None:
    m = p * groups
    found = check(schedule(p, m, v), m, v, forward_cost=forward_cost, backward_cost=backward_cost)
    assert found.bubble == pytest.approx((p - 1) / (v * m + p - 1))
    ahead = (2 * (p - stage - 1) + (v - 1) * p + 1 for stage in range(p))
    assert found.peak_in_flight == tuple(min(m * v, most) for most in ahead)


@given(STAGES, MICRO_BATCHES, st.integers(2, 4))
def test_a_last_group_that_is_not_full_costs_at_most_what_a_full_one_costs(p: int, m: int, v: int) -> None:
    whole = -(-m // p) * p
    partly, full = (check(schedule(p, n, v), n, v) for n in (m, whole))
    assert partly.makespan <= full.makespan
    assert all(some <= most for some, most in zip(partly.peak_in_flight, full.peak_in_flight, strict=True))


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_nothing_is_refused(sizes: tuple[int, int, int]) -> None:
    for make in (schedule, forward_only):
        with pytest.raises(ValueError, match="at least 1"):
            make(*sizes)


def actions(text: str) -> tuple[Action, ...]:
    """The inverse of `words`."""
    result = []
    for word in text.split():
        micro_batch, _, chunk = word[1:].partition(".")
        result.append(Action("forward" if word[0] == "F" else "backward", int(chunk or 0), int(micro_batch)))
    return tuple(result)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            ("F0 F1 B0 B1", "F0 B0 F1"),
            "stage 1: backward of micro-batch 1 in chunk 0 stands 0 times in its list, not 1",
        ),
        (("F0 F0 F1 B0 B1", "F0 B0 F1 B1"), "stage 0: forward of micro-batch 0 in chunk 0 stands 2 times"),
        (("F0 F1 B0 B1 F2", "F0 B0 F1 B1"), "stage 0: forward of micro-batch 2 in chunk 0 stands 1 times"),
        (("F0 F1 B0 B1", "F1 B1 F0 B0"), "channel forward_even between stages 0 and 1: micro-batch 0"),
        (("F0 F1 B0 B1", "F0 F1 B1 B0"), "channel backward_even between stages 0 and 1: micro-batch 1"),
        (
            ("F0 B0 F1 B1", "F0 F1 B0 B1"),
            "waits for another: stage 0 before backward.* 0.*; stage 1 before forward.* 1",
        ),
        (("B0 F0 F1 B1", "B0 F0 F1 B1"), "waits for another"),
    ],
)
def test_the_referee_names_what_is_wrong(stages: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check([actions(text) for text in stages], 2, 1)


def test_the_referee_watches_the_way_from_the_last_stage_to_the_first() -> None:
    with pytest.raises(ValueError, match="channel forward_wrap between stages 1 and 0: micro-batch 0"):
        check([actions("F0 F1 F1.1 F0.1")] * 2, 2, 2, with_backward=False)


def closes_a_circle(lists: Schedule, num_chunks: int, posted_ahead: int = 0) -> bool:
    """Whether stages wait for each other for ever if every action waits for all messages of its stage: for those that
    it has sent to be asked for, and for those that it has asked for to be sent. So does a GPU that synchronises."""
    num_stages = len(lists)
    ended = [0] * num_stages
    sent: list[set[tuple[Edge, int]]] = [set() for _ in lists]
    asked: list[set[tuple[Edge, int]]] = [set() for _ in lists]

    def act(stage: int) -> bool:
        for action in lists[stage][ended[stage] : ended[stage] + 1 + posted_ahead]:
            source, _ = edges(action, stage, num_stages, num_chunks)
            if source is not None:
                asked[stage].add((source, action.micro_batch))
        arrived = set().union(*sent) >= asked[stage] and set().union(*asked) >= sent[stage]
        if ended[stage] == len(lists[stage]) or not arrived:
            return False
        # A message is known by its edge, kind and micro-batch; the channel in the edge tells the kinds apart.
        action = lists[stage][ended[stage]]
        _, target = edges(action, stage, num_stages, num_chunks)
        if target is not None:
            sent[stage].add((target, action.micro_batch))
        ended[stage] += 1
        return True

    while any([act(stage) for stage in range(num_stages)]):
        pass
    return any(ended[stage] < len(lists[stage]) for stage in range(num_stages))


@given(STAGES, MICRO_BATCHES)
def test_synchronising_closes_no_circle(p: int, m: int) -> None:
    assert not closes_a_circle(schedule(p, m), 1)


@given(STAGES, MICRO_BATCHES, CHUNKS)
def test_synchronising_closes_no_circle_in_evaluation(p: int, m: int, v: int) -> None:
    assert not closes_a_circle(forward_only(p, m, v), v)


def test_asking_ahead_or_interleaving_can_close_one() -> None:
    assert closes_a_circle(schedule(2, 4), 1, posted_ahead=1)
    assert closes_a_circle(schedule(2, 4, 2), 2)
