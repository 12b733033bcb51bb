"""What the supervisor does after each kind of ending."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.config.supervise import SuperviseConfig
from jp_llm.runtime.errors import ExitCode
from jp_llm.supervise.policy import Action, Decision, Ending, History, Order, decide, stop_in_between

SETTINGS = SuperviseConfig(max_restarts=3, reset_steps=100, backoff_seconds=1.0, max_backoff_seconds=5.0)


def after(*endings: Ending, in_slurm: bool = False, settings: SuperviseConfig = SETTINGS) -> list[Decision]:
    history, decisions = History(), []
    for ending in endings:
        decision, history = decide(ending, history, settings, in_slurm=in_slurm)
        decisions.append(decision)
    return decisions


def death(step: int | None, code: int = 1, reason: str = "") -> Ending:
    return Ending(ExitCode.UNEXPECTED, code, step, reason)


@pytest.mark.parametrize(
    ("cause", "order", "in_slurm", "action", "code"),
    [
        (ExitCode.DONE, Order.NOBODY, False, Action.DONE, 0),
        # Asked to stop in its last step, it was done all the same.
        (ExitCode.DONE, Order.SIGNAL, True, Action.DONE, 0),
        (ExitCode.CONFIG_REFUSED, Order.NOBODY, False, Action.STOP, 2),
        (ExitCode.PREFLIGHT_REFUSED, Order.NOBODY, True, Action.STOP, 3),
        (ExitCode.NOT_TRUSTWORTHY, Order.NOBODY, True, Action.STOP, 17),
        (ExitCode.NOT_TRUSTWORTHY, Order.SIGNAL, True, Action.STOP, 17),
        (ExitCode.SAVED, Order.SIGNAL, False, Action.STOP, 85),
        (ExitCode.SAVED, Order.PERSON, False, Action.STOP, 85),
        (ExitCode.SAVED, Order.SIGNAL, True, Action.REQUEUE, 85),
        # Who writes KILL wants it to stop; who preempts wants the nodes.
        (ExitCode.SAVED, Order.PERSON, True, Action.STOP, 85),
        (ExitCode.RERUN_ELSEWHERE, Order.NOBODY, False, Action.RESTART_ELSEWHERE, 16),
        (ExitCode.RERUN_ELSEWHERE, Order.NOBODY, True, Action.REQUEUE_ELSEWHERE, 16),
        (ExitCode.HUNG, Order.NOBODY, False, Action.RESTART, 124),
        (ExitCode.HUNG, Order.NOBODY, True, Action.RESTART, 124),
        (ExitCode.UNEXPECTED, Order.NOBODY, False, Action.RESTART, 1),
        # It died while it was asked to stop: nobody wants it started again here.
        (ExitCode.UNEXPECTED, Order.SIGNAL, False, Action.STOP, 1),
        (ExitCode.UNEXPECTED, Order.SIGNAL, True, Action.REQUEUE, 85),
    ],
)
def test_each_ending_has_its_decision(cause: ExitCode, order: Order, in_slurm: bool, action: Action, code: int) -> None:
    (decision,) = after(Ending(cause, int(cause), 7, "why", "host", order), in_slurm=in_slurm)
    assert (decision.action, decision.code) == (action, code)
    assert decision.words


@pytest.mark.parametrize("code", [0, 1, 137, 143, 247])
def test_a_launcher_that_lies_about_a_run_that_is_not_done_is_started_again(code: int) -> None:
    assert after(death(7, code))[0].action is Action.RESTART


def test_a_run_that_dies_twice_at_one_step_stops_and_names_step_and_reason() -> None:
    first, second = after(
        death(7, reason="no reason given (samples 48 to 55)"), death(7, reason="boom (samples 48 to 55)")
    )
    assert first.action is Action.RESTART
    assert (second.action, second.code) == (Action.STOP, ExitCode.UNEXPECTED)
    assert "at step 7: boom (samples 48 to 55)" in second.words
    assert "2 times" in second.words


def test_it_also_stops_when_it_died_elsewhere_in_between() -> None:
    assert [decision.action for decision in after(death(7), death(5), death(7))][-1] is Action.STOP


def test_deaths_before_training_are_not_deaths_at_a_step() -> None:
    assert all(decision.action is Action.RESTART for decision in after(death(None), death(None), death(None)))


def test_a_hang_twice_at_one_step_stops_with_the_code_of_a_hang() -> None:
    hang = Ending(ExitCode.HUNG, 1, 7)
    assert after(hang, hang)[-1].code == ExitCode.HUNG


def test_restarts_are_limited() -> None:
    decisions = after(*(death(step) for step in (4, 3, 2, 1)))
    assert [decision.action for decision in decisions] == [Action.RESTART] * 3 + [Action.STOP]
    assert "supervise.max_restarts 3" in decisions[-1].words


def test_progress_forgets_old_restarts() -> None:
    decisions = after(*(death(step) for step in (150, 250, 350, 450, 550, 650)))
    assert {decision.action for decision in decisions} == {Action.RESTART}


def test_back_off_doubles_until_the_run_gets_further() -> None:
    settings = SuperviseConfig(backoff_seconds=1.0, max_backoff_seconds=5.0)
    decisions = after(*(death(step) for step in (10, 9, 8, 7, 6, 11, 5)), settings=settings)
    assert [decision.wait_seconds for decision in decisions] == [1, 2, 4, 5, 5, 1, 2]


@given(st.lists(st.one_of(st.none(), st.integers(1, 300)), min_size=1, max_size=60), st.booleans())
def test_a_run_that_only_dies_is_stopped_and_never_waits_for_long(steps: list[int | None], in_slurm: bool) -> None:
    history, settings = History(), SuperviseConfig(max_restarts=5, reset_steps=1000, max_backoff_seconds=60.0)
    restarts = 0
    for step in steps:
        decision, history = decide(death(step), history, settings, in_slurm=in_slurm)
        if decision.action is Action.STOP:
            break
        assert decision.action is Action.RESTART
        assert settings.backoff_seconds <= decision.wait_seconds <= 60.0
        restarts += 1
    assert restarts <= 5


def early(host: str, cause: ExitCode = ExitCode.UNEXPECTED) -> Ending:
    return Ending(cause, 1, None, "no network", host)


@pytest.mark.parametrize("in_slurm", [False, True])
def test_a_host_on_which_it_never_begins_is_left_out(in_slurm: bool) -> None:
    settings = SuperviseConfig(max_restarts=9)
    hosts = [early("a"), early("b"), early("b"), early("b", ExitCode.HUNG), early("b")]
    found = [decision.action for decision in after(*hosts, in_slurm=in_slurm, settings=settings)]
    elsewhere = Action.REQUEUE_ELSEWHERE if in_slurm else Action.RESTART_ELSEWHERE
    assert found == [Action.RESTART] * 3 + [elsewhere, Action.RESTART]


def test_deaths_at_a_step_or_of_no_known_host_are_in_between() -> None:
    settings = SuperviseConfig(max_restarts=9)
    endings = [early("b"), early("b"), death(5), early("b"), early("b"), early(""), early("b")]
    assert {decision.action for decision in after(*endings, settings=settings)} == {Action.RESTART}


def test_a_folder_that_is_held_is_final_only_at_the_first_start() -> None:
    held = Ending(ExitCode.PREFLIGHT_REFUSED, 3, None, "another run is working", is_held=True)
    (first,) = after(held)
    assert (first.action, first.code) == (Action.STOP, 3)
    assert first.words == "not started: another run is working"
    assert [decision.action for decision in after(death(5), held, held)] == [Action.RESTART] * 3


@pytest.mark.parametrize("step", [None, 0])
def test_a_run_that_was_stopped_before_its_first_step_has_saved_nothing(step: int | None) -> None:
    (decision,) = after(Ending(ExitCode.SAVED, 85, step, "file KILL", "", Order.PERSON))
    assert decision.words.startswith("stopped before anything was trained: file KILL")


def test_a_stop_between_two_starts() -> None:
    assert stop_in_between(Order.SIGNAL, in_slurm=True).action is Action.REQUEUE
    assert stop_in_between(Order.PERSON, in_slurm=True).action is Action.STOP
    assert stop_in_between(Order.SIGNAL, in_slurm=False).code == ExitCode.SAVED
