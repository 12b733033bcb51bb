"""The rules, on made-up runs: what they let pass, what they skip, when they go back and when they stop."""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jp_llm.config.guard import GuardConfig
from jp_llm.guard.guard import Decision, Guard
from jp_llm.guard.interventions import Intervention, Interventions

BATCH = 8
NAN, INFINITE = math.nan, math.inf


def record(**changes: Any) -> Intervention:
    values = {"step": 260, "first_outlier_step": 220, "to_step": 100, "from_sample": 800, "to_sample": 3200}
    numbers = {"loss": 7.0, "median": 3.0, "sigma": 0.02, "host": "node1", "time": 1.0}
    return Intervention.model_validate({**values, **numbers, **changes})


def feed(guard: Guard, values: Iterable[tuple[float, float]], start: int = 0) -> list[tuple[str | None, Decision]]:
    """Steps `start` + 1 and so on, one after another."""
    found = []
    for step, (loss, norm) in enumerate(values, start=start + 1):
        refused = guard.judge(loss, norm)
        assert guard.judge(loss, norm) == refused
        decision = guard.after(step, range((step - 1) * BATCH, step * BATCH), loss, norm, refused)
        found.append((refused, decision))
    return found


def skipped(found: list[tuple[str | None, Decision]]) -> list[int]:
    return [index for index, (refused, _) in enumerate(found) if refused]


def actions(found: list[tuple[str | None, Decision]]) -> list[tuple[int, str]]:
    return [(index, decision.action) for index, (_, decision) in enumerate(found) if decision.action != "go_on"]


def quiet(count: int, level: float = 3.0, seed: int = 0) -> list[tuple[float, float]]:
    """Losses and norms of a run that goes on well."""
    chance = np.random.default_rng(seed)
    return [(level + 0.02 * chance.standard_normal(), float(chance.lognormal(-1.0, 0.2))) for _ in range(count)]


def warm(**changes: Any) -> Guard:
    guard = Guard(GuardConfig(**changes))
    assert skipped(feed(guard, quiet(128))) == []
    return guard


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    final=st.floats(0.5, 6.0),
    speed=st.floats(20, 2000),
    noise=st.floats(0.0, 0.15),
    norm_noise=st.floats(0.05, 0.5),
    warm_up=st.integers(1, 300),
)
def test_no_alarm_in_a_thousand_undisturbed_steps(
    seed: int, final: float, speed: float, noise: float, norm_noise: float, warm_up: int
) -> None:
    """A loss that falls as a power of the step, with normal noise; norms that are high at first and log-normal."""
    chance = np.random.default_rng(seed)
    steps = np.arange(1000)
    losses = final + (11.0 - final) * (1 + steps / speed) ** -0.7 + noise * chance.standard_normal(1000)
    norms = (0.3 + 6.0 * np.exp(-steps / warm_up)) * chance.lognormal(0, norm_noise, 1000)
    found = feed(Guard(GuardConfig()), zip(losses.tolist(), norms.tolist(), strict=True))
    assert skipped(found) == []
    assert all(decision.action == "go_on" and not decision.reason for _, decision in found)


@pytest.mark.parametrize("tail", [3, 5])
def test_norms_with_heavy_tails_raise_no_alarm(tail: int) -> None:
    chance = np.random.default_rng(tail)
    norms = 0.5 * (1 + np.abs(chance.standard_t(tail, 1000)) / 4)
    assert skipped(feed(Guard(GuardConfig()), [(3.0, float(norm)) for norm in norms])) == []


def test_a_constant_loss_with_a_breath_of_noise_raises_no_alarm() -> None:
    # Without a floor the MAD of a constant is 0, and any rise an outlier.
    assert skipped(feed(warm(), [(3.0, 0.3)] * 200 + [(3.0 + 2e-7, 0.3)])) == []


@pytest.mark.parametrize("outlier", [(300.0, 0.3), (3.4, 0.3), (3.0, 1e4 * 0.37), (3.0, 10 * 0.45)])
def test_an_outlier_is_skipped_and_is_not_remembered(outlier: tuple[float, float]) -> None:
    guard, other = warm(), warm()
    assert skipped(feed(guard, [outlier, *quiet(50, seed=2)], 128)) == [0]
    feed(other, quiet(50, seed=2), 129)
    assert guard.state() == {**other.state(), "skips": guard.state()["skips"]}


@pytest.mark.parametrize("value", [(3.05, 0.37), (3.0, 3 * 0.37), (3.0, 8 * 0.37), (1.0, 0.01)])
def test_what_clipping_is_for_is_not_skipped(value: tuple[float, float]) -> None:
    assert skipped(feed(warm(), [value], 128)) == []


def test_three_bad_batches_are_three_skips() -> None:
    found = feed(warm(), [(300.0, 40.0)] * 3 + quiet(100, seed=3), 128)
    assert skipped(found) == [0, 1, 2]
    assert actions(found) == []


@pytest.mark.parametrize("value", [(NAN, 0.3), (INFINITE, 0.3), (3.0, NAN), (3.0, INFINITE), (NAN, NAN)])
@pytest.mark.parametrize("enabled", [True, False])
def test_what_is_not_finite_is_skipped_from_the_first_step_on(value: tuple[float, float], enabled: bool) -> None:
    guard = Guard(GuardConfig(enabled=enabled))
    found = feed(guard, [value, (11.0, 5.0), value, *quiet(300, level=10.9)])
    assert skipped(found) == [0, 2]
    assert "not finite" in (found[0][0] or "")
    assert all(math.isfinite(number) for number in guard.levels().values())


def test_nothing_but_what_is_not_finite_stops_the_run_with_the_samples() -> None:
    found = feed(warm(), [(NAN, 0.3)] * 8, 128)
    assert actions(found) == [(7, "stop")]
    assert "step 129 samples 1024 to 1031" in found[7][1].reason
    assert "step 136 samples 1080 to 1087" in found[7][1].reason
    assert actions(feed(Guard(GuardConfig(enabled=False)), [(3.0, NAN)] * 8)) == [(7, "stop")]
    # With a finite one among them it is an outbreak, which ends in another way.
    found = feed(warm(), [(NAN, 0.3)] * 4 + [(9.0, 0.3)] + [(NAN, 0.3)] * 4, 128)
    assert actions(found) == []
    assert skipped(found) == list(range(9))


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("bad", [7, 3])
def test_a_run_that_skips_more_than_it_trains_is_stopped(bad: int, enabled: bool) -> None:
    """Seven of eight steps are not finite, which is never eight in a row; three of five."""
    cycle = [(NAN, 0.3)] * bad + quiet(1 if bad == 7 else 2)
    guard = Guard(GuardConfig(enabled=enabled))
    feed(guard, quiet(200))
    found = feed(guard, cycle * 60, 200)
    index, action = actions(found)[0]
    assert action == "stop"
    assert len([each for each in skipped(found) if each <= index]) == 65
    assert index < 128
    assert "65 of the last 128 steps were skipped" in found[index][1].reason
    assert f"samples {(200 + index) * BATCH} to {(201 + index) * BATCH - 1}" in found[index][1].reason


def test_half_of_the_steps_may_be_skipped() -> None:
    assert actions(feed(Guard(GuardConfig()), [(NAN, 0.3), (3.0, 0.3)] * 500)) == []


def test_a_narrow_window_leaves_skips_in_a_row_their_own_end() -> None:
    found = feed(Guard(GuardConfig(window=8, active_from=4)), [*quiet(8), *[(NAN, 0.3)] * 8])
    assert actions(found) == [(15, "stop")]
    assert "8 times in a row" in found[15][1].reason


@pytest.mark.parametrize("seen", [8, 20])
def test_switched_off_it_does_not_go_back_for_what_it_saw_before(seen: int) -> None:
    """Stopped before the first outlier is accepted, and while the loss is on probation."""
    guard, off, on = warm(), Guard(GuardConfig(enabled=False)), Guard(GuardConfig())
    assert len(skipped(outbreak(lambda step: 7.0, guard, seen))) == 8
    off.restore(guard.state())
    on.restore(guard.state())
    values = [(7.0, 0.4)] * 100
    found = feed(off, values, 128 + seen)
    assert actions(found) == []
    assert skipped(found) == []
    assert off.state()["probation"] is None
    assert actions(feed(on, values, 128 + seen))[0] == (40 - seen, "rewind")


def test_a_guard_that_is_off_lets_every_finite_step_pass() -> None:
    assert skipped(feed(Guard(GuardConfig(enabled=False)), [*quiet(128), *[(300.0, 1e6)] * 200])) == []


def test_the_ninth_is_accepted_and_a_loss_that_comes_back_ends_it() -> None:
    # Four of the steps after the skips are still bad, which is not what decides.
    found = feed(warm(), [(4.0, 0.4)] * 12 + quiet(200, seed=4), 128)
    assert skipped(found) == list(range(8))
    assert actions(found) == []
    assert [index for index, (_, decision) in enumerate(found) if decision.reason] == [8 + 32]
    assert found[40][1].reason.startswith("came back: loss ")


def outbreak(level: Callable[[int], float], guard: Guard, count: int = 200) -> list[tuple[str | None, Decision]]:
    return feed(guard, [(level(step), 0.4) for step in range(count)], 128)


def test_a_loss_that_stays_up_is_gone_back_from_once() -> None:
    guard = warm()
    found = outbreak(lambda step: 7.0 + 0.01 * (step % 5), guard, 41)
    assert skipped(found) == list(range(8))
    assert actions(found) == [(40, "rewind")]
    decided = found[40][1].outbreak
    assert decided is not None
    assert (decided.first_step, decided.first_sample) == (129, 128 * BATCH)
    assert decided.loss == pytest.approx(7.02, abs=0.02)
    assert decided.median == pytest.approx(3.0, abs=0.02)


def after_rewinds(count: int, loss: float, **changes: Any) -> Guard:
    """As it stands in the checkpoint that the last rewind went back to."""
    records = [record(step=169, first_outlier_step=129, from_sample=0, loss=loss, **changes) for _ in range(count)]
    guard = Guard(GuardConfig(), Interventions(records))
    guard.restore(warm().state())
    return guard


def test_a_shift_that_a_rewind_has_not_changed_is_accepted() -> None:
    # The first rewind was at 3.4; back, the same level is met again, and it is the data.
    found = outbreak(lambda step: 3.41, after_rewinds(1, 3.40))
    assert skipped(found) == list(range(8))
    assert actions(found) == []
    assert "a new level" in found[40][1].reason


@pytest.mark.parametrize(("known", "now"), [(3.4, 3.7), (7.0, 7.0)])
def test_what_got_worse_or_has_diverged_is_fought_again(known: float, now: float) -> None:
    assert actions(outbreak(lambda step: now, after_rewinds(1, known), 41)) == [(40, "rewind")]


def test_a_rewind_further_on_does_not_count_as_met_before() -> None:
    later = Guard(GuardConfig(), Interventions([record(from_sample=10**6, to_sample=2 * 10**6, loss=3.4)]))
    later.restore(warm().state())
    assert actions(outbreak(lambda step: 3.4, later, 41)) == [(40, "rewind")]


def test_spent_rewinds_stop_the_run_with_the_samples() -> None:
    found = outbreak(lambda step: 7.0, after_rewinds(3, 7.0), 41)
    assert actions(found) == [(40, "stop")]
    reason = found[40][1].reason
    assert "3 rewinds in 10000 steps" in reason
    assert f"steps 129 to 169, samples {128 * BATCH} to {169 * BATCH - 1}" in reason


def test_rewinds_of_long_ago_are_not_counted() -> None:
    guard = after_rewinds(3, 7.0)
    values = [(7.0, 0.4)] * 41
    assert actions(feed(guard, values, 169 + 10_000 - 41)) == [(40, "rewind")]


def test_no_rewinds_allowed_means_that_the_first_one_stops() -> None:
    assert actions(outbreak(lambda step: 7.0, warm(max_rewinds=0), 41)) == [(40, "stop")]


VALUE = st.one_of(
    st.tuples(st.floats(2.9, 3.1), st.floats(0.2, 0.6)),
    st.tuples(st.sampled_from([3.5, 9.0, NAN, INFINITE]), st.sampled_from([0.3, 1e5, NAN])),
)


@settings(max_examples=40)
@given(st.lists(VALUE, min_size=1, max_size=150), st.data())
def test_a_restored_guard_decides_as_one_that_was_never_gone(values: list[tuple[float, float]], data: Any) -> None:
    small = {"window": 16, "active_from": 6, "patience_steps": 5, "max_skips_in_a_row": 3}
    cut = data.draw(st.integers(0, len(values)))
    one = Guard(GuardConfig(**small))
    expected = feed(one, values)
    two = Guard(GuardConfig(**small))
    feed(two, values[:cut])
    three = Guard(GuardConfig(**small))
    three.restore(json.loads(json.dumps(two.state(), allow_nan=False)))
    assert feed(three, values[cut:], cut) == expected[cut:]
    assert three.state() == one.state()


def test_a_window_that_was_made_shorter_keeps_the_newest() -> None:
    guard = warm()
    shorter = Guard(GuardConfig(window=64))
    shorter.restore(guard.state())
    assert shorter.state()["losses"] == guard.state()["losses"][-64:]


def test_settings_under_which_nothing_would_be_judged_are_refused() -> None:
    assert GuardConfig().problems() == []
    assert "active_from" in GuardConfig(window=32).problems()[0]
