"""The file that says what is left out: what is written is read again, and damage is named."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.guard.interventions import Intervention, Interventions
from jp_llm.runtime.errors import UserError

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 10**15)
RECORD = st.builds(
    lambda first, more, **rest: Intervention(from_sample=first, to_sample=first + more, **rest),
    first=COUNT,
    more=st.integers(1, 10**12),
    step=COUNT,
    first_outlier_step=COUNT,
    to_step=COUNT,
    loss=FINITE,
    median=FINITE,
    sigma=FINITE,
    host=st.text(max_size=20),
    time=FINITE,
)


def record(**changes: Any) -> Intervention:
    values = {"step": 260, "first_outlier_step": 220, "to_step": 100, "from_sample": 800, "to_sample": 3200}
    numbers = {"loss": 7.0, "median": 3.0, "sigma": 0.02, "host": "node1", "time": 1.0}
    return Intervention.model_validate({**values, **numbers, **changes})


@given(st.lists(RECORD, max_size=4))
def test_what_is_written_is_read_again_to_the_last_bit(tmp_path_factory: Any, records: list[Intervention]) -> None:
    path = tmp_path_factory.mktemp("run") / "interventions.json"
    Interventions(records).write(path)
    assert list(Interventions.parse(path.read_bytes(), path)) == records


def test_a_run_without_the_file_has_none() -> None:
    found = Interventions.parse(None, Path("interventions.json"))
    assert list(found) == []
    assert found.left_out == ()
    assert not found.abandon(0)


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b'[{"step": 1}]', b"[[]]", b"\xff"])
def test_damage_is_named_with_what_to_do(text: bytes) -> None:
    with pytest.raises(UserError, match=r"runs/x/interventions\.json: not what a run wrote.*events\.jsonl"):
        Interventions.parse(text, Path("runs/x/interventions.json"))


def test_numbers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "interventions.json"
    Interventions([record()]).write(path)
    path.write_text(path.read_text().replace("3200", "800"))
    with pytest.raises(UserError, match="from_sample must be less than to_sample"):
        Interventions.parse(path.read_bytes(), path)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=4), st.integers(0, 90), st.integers(0, 90))
def test_going_back_counts_what_was_used(left_out: list[tuple[int, int]], sample: int, count: int) -> None:
    found = Interventions([record(from_sample=first, to_sample=first + more) for first, more in left_out])
    gone = {each for samples in found.left_out for each in samples}
    position = found.back(sample, count)
    assert 0 <= position <= sample
    used = [each for each in range(position, sample) if each not in gone]
    assert len(used) == min(count, len([each for each in range(sample) if each not in gone]))


def test_only_checkpoints_between_the_two_positions_were_given_up() -> None:
    found = Interventions([record()])
    assert [sample for sample in (0, 792, 800, 808, 3192, 3200, 3208) if found.abandon(sample)] == [808, 3192]
    assert found.left_out == (range(800, 3200),)
    # A later rewind to further back covers the first one.
    found.add(record(to_step=0, from_sample=0, to_sample=6400))
    assert [sample for sample in (0, 8, 800, 3208, 6399, 6400) if found.abandon(sample)] == [8, 800, 3208, 6399]
