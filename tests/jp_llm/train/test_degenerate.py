"""When repetition is said."""

import json

import pytest

from jp_llm.config.guard import GuardConfig
from jp_llm.guard.guard import Guard
from jp_llm.texts.repetition import Repetition
from jp_llm.train.degenerate import Degeneration

GOOD, BAD = Repetition.of(list(range(64))), Repetition.of([1] * 64)


def warnings(seen: list[list[Repetition]], first_step: int = 500) -> list[bool]:
    watch = Degeneration(1000, Guard(GuardConfig()))
    return [watch.look(first_step + index, found)[1] for index, found in enumerate(seen)]


def test_it_is_said_when_most_samples_repeat_themselves_twice_in_a_row() -> None:
    assert warnings([[BAD, BAD, GOOD], [BAD, BAD, GOOD]]) == [False, True]
    assert warnings([[BAD], [GOOD], [BAD], [BAD], [BAD]]) == [False, False, False, True, True]
    assert warnings([[BAD, GOOD]] * 3) == [False] * 3


def test_what_was_found_last_is_in_the_checkpoint() -> None:
    guard, resumed = Guard(GuardConfig()), Guard(GuardConfig())
    assert not Degeneration(1000, guard).look(500, [BAD])[1]
    resumed.restore(json.loads(json.dumps(guard.state())))
    assert Degeneration(1000, resumed).look(600, [BAD])[1]
    resumed.restore({})
    assert not Degeneration(1000, resumed).look(700, [BAD])[1]


def test_a_model_that_has_hardly_begun_is_not_blamed() -> None:
    assert warnings([[BAD]] * 4, first_step=98) == [False, False, False, False]
    assert warnings([[BAD]] * 5, first_step=98) == [False, False, False, False, True]


def test_what_is_recorded() -> None:
    record, _ = Degeneration(1000, Guard(GuardConfig())).look(500, [GOOD, BAD])
    assert record == {
        "kind": "repetition",
        "step": 500,
        "repeated_4grams": pytest.approx(30 / 61),
        "repeats": 64,
        "degenerate_samples": 0.5,
    }
