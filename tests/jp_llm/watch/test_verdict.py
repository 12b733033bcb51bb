"""Judgements over tables of what a watcher may see."""

from dataclasses import replace
from typing import Any

import pytest

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.watch.heartbeat import Beat
from jp_llm.watch.stacks import Frame, Stack
from jp_llm.watch.verdict import Seen, trouble, verdict

SETTINGS = WatchdogConfig(beat_seconds=5, silence_seconds=60, step_seconds=600, other_seconds=3600, grace_seconds=10)
WAITING = Stack((Frame("/x/site-packages/torch/distributed/c10d.py", 1, "all_reduce"), Frame("jp_llm/a.py", 7, "step")))
WORKING = Stack((Frame("/x/lib/python3.11/re.py", 1, "match"), Frame("jp_llm/data/loader.py", 9, "read")))


def seen(rank: int = 0, **changes: Any) -> Seen:
    """A process in good health in step 20; fields of the beat and of the view by name."""
    beat = Beat(
        rank=rank,
        host=f"gpu{rank // 2}",
        boot=f"boot{rank // 2}",
        pid=100 + rank,
        namespace=1,
        process=f"start-{rank}",
        step=20,
        phase="step",
        first=False,
        since=0.0,
        time=0.0,
        state="running",
    )
    of_beat = {name: value for name, value in changes.items() if name in Beat.__dataclass_fields__}
    of_view = {name: value for name, value in changes.items() if name in Seen.__dataclass_fields__ and name != "rank"}
    view = Seen(rank, replace(beat, **of_beat), silent=3.0, lasting=3.0, condition="running", unchanged=100.0)
    return replace(view, **of_view)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, None),
        # Silence, near and far, and where libraries are loaded.
        ({"silent": 59}, None),
        ({"silent": 61}, "silent"),
        ({"silent": 119, "condition": "remote"}, None),
        ({"silent": 121, "condition": "remote"}, "silent"),
        ({"silent": 3599, "phase": "start"}, None),
        ({"silent": 3601, "phase": "start"}, "silent"),
        # Phases that last.
        ({"lasting": 599}, None),
        ({"lasting": 601}, "late"),
        ({"lasting": 601, "phase": "data"}, "late"),
        ({"lasting": 601, "first": True}, None),
        ({"lasting": 3601, "first": True}, "late"),
        *[({"lasting": 3599, "phase": phase}, None) for phase in ("start", "evaluate", "sample", "save", "rewind")],
        *[({"lasting": 3601, "phase": phase}, "late") for phase in ("start", "evaluate", "sample", "save", "rewind")],
        # What the kernel says.
        ({"condition": "stopped", "unchanged": 59, "silent": 59}, None),
        ({"condition": "stopped", "unchanged": 61, "silent": 61}, "stopped"),
        ({"condition": "stopped", "unchanged": 61, "phase": "start"}, "stopped"),
        ({"condition": "gone", "unchanged": 9}, None),
        ({"condition": "gone", "unchanged": 11}, "died"),
        # Goodbyes.
        ({"state": "ended", "code": 0, "silent": 9999, "condition": "gone"}, None),
        ({"state": "ended", "code": 85, "silent": 9999, "condition": "remote", "lasting": 9999}, None),
        ({"state": "ended", "code": 0, "lasting": 3599, "phase": "end"}, None),
        ({"state": "ended", "code": 0, "lasting": 3601, "phase": "end"}, "late"),
        ({"state": "ended", "code": 1, "lasting": 9, "condition": "gone"}, None),
        ({"state": "ended", "code": 1, "lasting": 11, "condition": "gone"}, "failed"),
        # Never seen.
        ({"beat": None, "silent": 3599, "condition": "remote"}, None),
        ({"beat": None, "silent": 3601, "condition": "remote"}, "absent"),
    ],
)
def test_one_process_among_healthy_ones(changes: dict[str, Any], kind: str | None) -> None:
    others = {"phase": changes["phase"], "step": 20} if "phase" in changes else {}
    found = trouble([seen(0, **others), seen(1, **changes), seen(2, **others)], SETTINGS)
    assert found == ({} if kind is None else {1: kind})


def test_who_waits_for_one_that_saves_is_not_late() -> None:
    waiting = [seen(0, lasting=601), seen(1, lasting=601)]
    assert trouble([*waiting, seen(2, step=19, phase="save", lasting=650)], SETTINGS) == {}
    assert trouble([*waiting, seen(2, step=19, phase="save", lasting=3601)], SETTINGS) == {2: "late"}
    assert trouble([*waiting, seen(2, beat=None, silent=700, condition="remote")], SETTINGS) == {}
    # A rewind: the others have come out of it.
    rewinding = seen(2, step=20, phase="start", lasting=700)
    assert (
        trouble([seen(0, step=12, lasting=601), seen(1, step=12, phase="data", lasting=601), rewinding], SETTINGS) == {}
    )
    # It is not waited for.
    assert trouble([*waiting, seen(2, step=19, state="ended", code=0)], SETTINGS) == {0: "late", 1: "late"}


def test_nobody_is_missed_where_nobody_is_left() -> None:
    everybody = [seen(0, condition="gone"), seen(1, state="ended", code=1, lasting=99, condition="gone")]
    assert trouble(everybody, SETTINGS) == {}


def test_a_watcher_of_some_processes_leaves_the_first_word_to_the_one_of_all() -> None:
    late = [seen(0, lasting=800), seen(1, lasting=800)]
    assert trouble(late, SETTINGS, patience=1.5) == {}
    assert trouble(late, SETTINGS) == {0: "late", 1: "late"}


def named(processes: list[Seen], stacks: dict[int, Stack] | None = None) -> tuple[str, list[int]]:
    found = verdict(processes, trouble(processes, SETTINGS), stacks or {}, SETTINGS)
    return found.kind, [each.rank for each in found.culprits]


LATE = [seen(rank, lasting=601) for rank in range(4)]


@pytest.mark.parametrize(
    ("processes", "stacks", "expected"),
    [
        # What is certain comes before what is only late.
        ([LATE[0], seen(1, silent=61, lasting=700), *LATE[2:]], {}, ("silent", [1])),
        ([seen(0, silent=61), seen(1, condition="stopped", unchanged=61)], {}, ("stopped", [1])),
        ([seen(0, condition="stopped", unchanged=61), seen(1, condition="gone", unchanged=11)], {}, ("died", [1])),
        # The same where it has not lasted long enough to be trouble by itself.
        ([*LATE[:3], seen(3, condition="stopped", unchanged=5)], {}, ("stopped", [3])),
        ([*LATE[:3], seen(3, condition="gone", unchanged=5)], {}, ("died", [3])),
        ([*LATE[:3], seen(3, state="ended", code=1, lasting=5)], {}, ("failed", [3])),
        ([*LATE[:3], seen(3, silent=31)], {}, ("silent", [3])),
        # Who is behind in step, then in phase.
        ([*LATE[:3], seen(3, lasting=700, step=19)], {}, ("late", [3])),
        ([*LATE[:3], seen(3, lasting=700, phase="data")], {}, ("late", [3])),
        ([seen(0, phase="save", lasting=5), seen(1, lasting=601), seen(2, phase="save", lasting=5)], {}, ("late", [1])),
        # Who has come out of a rewind is not behind those that are still in it, also if its step is an earlier one.
        ([seen(0, step=12, lasting=3601), seen(1, phase="start", step=20, lasting=3601)], {}, ("late", [1])),
        # Nobody is: who is not in the collective.
        (LATE, {0: WAITING, 1: WAITING, 2: WORKING, 3: WAITING}, ("late", [2])),
        (LATE[:2], {0: WORKING, 1: WAITING}, ("late", [0])),
        # On a GPU all stand in our own code; the one that stands elsewhere.
        (
            LATE,
            {rank: Stack((Frame("jp_llm/engine/engine.py", 9 if rank == 1 else 7, "step"),)) for rank in range(4)},
            ("late", [1]),
        ),
        # No difference to be seen.
        (LATE, dict.fromkeys(range(4), WAITING), ("late", [0, 1, 2, 3])),
        (LATE, {}, ("late", [0, 1, 2, 3])),
        # One that has said goodbye is not behind.
        ([seen(0, state="ended", code=0, step=1, condition="remote"), seen(1, lasting=601)], {}, ("late", [1])),
    ],
)
def test_who_is_to_blame(processes: list[Seen], stacks: dict[int, Stack], expected: tuple[str, list[int]]) -> None:
    assert named(processes, stacks) == expected


def test_words_name_rank_host_process_step_phase_and_place() -> None:
    processes = [*LATE[:3], seen(3, lasting=700, step=19, phase="data")]
    words = verdict(processes, trouble(processes, SETTINGS), {3: WORKING}, SETTINGS).words
    assert words == (
        "rank 3 on host gpu1 (pid 103) is in data of step 19 for 700 s",
        "the others are further and wait",
        "rank 3 stands at jp_llm/data/loader.py:9 in read",
    )


def test_many_culprits_are_counted() -> None:
    processes = [seen(rank, silent=61) for rank in range(12)] + [seen(12)]
    words = verdict(processes, trouble(processes, SETTINGS), {}, SETTINGS).words
    assert len(words) == 9
    assert words[-1] == "and 4 more"


def test_all_processes_alike() -> None:
    words = verdict(LATE, trouble(LATE, SETTINGS), {}, SETTINGS).words
    assert words == (
        "all 4 processes, the first of them: rank 0 on host gpu0 (pid 100) is in step of step 20 for 601 s",
    )
