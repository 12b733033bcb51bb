"""The checkpoint interval against published settings, and against a search for the least loss."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import run_config

from jp_llm.config.arithmetic import num_parameters
from jp_llm.plan.interval import checkpoint_bytes, checkpoint_interval

HOUR = 3600
TABLE = {
    # Hours between failures: minutes and per cent for saves that stall 5, 20, 40 and 120 seconds, worked by hand.
    45.6: [(21, 0.8), (43, 1.6), (60, 2.2), (105, 3.8)],  # 16 nodes, one failure per node and month
    12.0: [(11, 1.5), (22, 3.0), (31, 4.3), (54, 7.5)],  # OPT-175B: 2 failures a day
    3.1: [(6, 3.0), (11, 6.0), (16, 8.5), (27, 14.7)],  # Llama 3: 419 in 54 days
}


@pytest.mark.parametrize("hours", TABLE)
def test_known_settings(hours: float) -> None:
    for stall, (minutes, percent) in zip((5, 20, 40, 120), TABLE[hours], strict=True):
        seconds, lost = checkpoint_interval(stall, hours * HOUR)
        assert seconds / 60 == pytest.approx(minutes, abs=0.6)
        assert 100 * lost == pytest.approx(percent, abs=0.06)


@given(stall=st.floats(0.01, 1e4), between=st.floats(1, 1e7))
def test_no_other_interval_loses_less(stall: float, between: float) -> None:
    best, lost = checkpoint_interval(stall, between)
    assert 0 < best <= between
    assert 0 < lost <= 1
    for factor in (0.5, 0.9, 1.1, 2.0):
        if (other := best * factor) <= between:
            assert lost <= (stall / other + other / (2 * between)) * (1 + 1e-9)


def test_where_a_save_takes_as_long_as_two_failures_are_apart_all_is_lost() -> None:
    assert checkpoint_interval(200, 100) == (100, 1.0)
    with pytest.raises(ValueError, match="must be > 0"):
        checkpoint_interval(0, 100)
    with pytest.raises(ValueError, match="must be > 0"):
        checkpoint_interval(1, -1)
    assert math.isfinite(checkpoint_interval(1e-9, 1e9)[0])


def test_a_checkpoint_has_three_fp32_numbers_per_parameter() -> None:
    config = run_config()
    # By hand: 32 wide, 2 layers, 64 inside the MLP, vocabulary 512, embedding and head.
    by_hand = 2 * 512 * 32 + 2 * (4 * 32 * 32 + 3 * 64 * 32 + 2 * 32) + 32
    assert num_parameters(config.model) == by_hand
    assert checkpoint_bytes(config) == 12 * by_hand
