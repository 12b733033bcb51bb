"""A job does not go back to the queue for ever."""

from typing import Any

import pytest

from jp_llm.supervise.requeue import fruitless


def requeues(*steps: int, job: str = "7") -> list[dict[str, Any]]:
    return [{"event": "requeue", "job": job, "step": step} for step in steps]


@pytest.mark.parametrize(
    ("steps", "now", "times"),
    [((), 0, 0), ((), 9, 0), ((0,), 0, 1), ((0, 0), 5, 0), ((5, 5, 4), 5, 3), ((5, 9, 9), 10, 0), ((1, 2, 2), 2, 2)],
)
def test_requeues_count_until_the_run_gets_further(steps: tuple[int, ...], now: int, times: int) -> None:
    others = [{"event": "attempt", "job": "7"}, *requeues(100, job="8")]
    assert fruitless([*others, *requeues(*steps)], "7", now) == times
