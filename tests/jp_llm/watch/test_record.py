"""Durations by the watcher's own clock."""

from dataclasses import replace

import pytest

from jp_llm.watch.heartbeat import Beat
from jp_llm.watch.record import Record

BEAT = Beat(0, "a", "boot", 1, 1, "first", 5, "step", False, 1e9, 1e9, "running")
LOYALTY = 30.0


def later(beat: Beat = BEAT, **changes: object) -> Beat:
    return replace(beat, time=beat.time + 1, **changes)  # type: ignore[arg-type]


def record(before: dict[int, float] | None = None) -> Record:
    return Record([0], before or {}, loyalty=LOYALTY)


def durations(of: Record) -> tuple[float, float]:
    (seen,) = of.seen()
    return seen.silent, seen.lasting


def test_a_clock_that_is_wrong_makes_no_difference() -> None:
    one = record()
    one.beat(0, replace(BEAT, time=0.0, since=5e9))
    one.advance(2.0, 10.0)
    one.beat(0, replace(BEAT, time=-7.0, since=5e9))
    one.advance(2.0, 10.0)
    assert durations(one) == (2.0, 4.0)


def test_the_same_beat_again_is_silence() -> None:
    one = record()
    one.beat(0, BEAT)
    for _ in range(5):
        one.advance(1.0, 2.0)
        one.beat(0, BEAT)
        one.beat(0, None)
    assert durations(one) == (5.0, 5.0)


@pytest.mark.parametrize("change", [{"step": 6}, {"phase": "save"}, {"state": "ended"}])
def test_a_change_of_position_begins_anew(change: dict[str, object]) -> None:
    one = record()
    one.beat(0, BEAT)
    one.advance(1.0, 2.0)
    one.beat(0, later(**change))
    assert durations(one) == (0.0, 0.0)


def test_what_an_earlier_start_left_is_not_seen() -> None:
    one = record(before={0: BEAT.time})
    one.beat(0, BEAT)
    assert one.seen()[0].beat is None
    one.beat(0, later(process="second"))
    assert one.seen()[0].beat is not None


def test_a_watcher_that_slept_saw_nothing() -> None:
    one = record()
    one.beat(0, BEAT)
    one.advance(8 * 3600.0, 2.0)
    assert durations(one) == (2.0, 2.0)


def test_a_second_run_in_the_folder_is_not_believed_until_the_first_is_silent() -> None:
    one, intruder = record(), replace(BEAT, process="intruder", state="ended", code=3)
    one.beat(0, BEAT)
    one.advance(5.0, 10.0)
    one.beat(0, intruder)
    assert one.seen()[0].beat == BEAT
    one.beat(0, later())
    one.advance(LOYALTY, LOYALTY)
    one.beat(0, intruder)
    assert one.seen()[0].beat == intruder


def test_conditions_last_since_they_were_seen_to_change() -> None:
    one = record()
    one.beat(0, BEAT)
    for condition in ("running", "stopped", "stopped"):
        one.condition(0, condition)  # type: ignore[arg-type]
        one.advance(1.0, 2.0)
    assert (one.seen()[0].condition, one.seen()[0].unchanged) == ("stopped", 2.0)
