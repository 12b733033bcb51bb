"""Every token is predicted once, with as much context as was promised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.evaluate.windows import Window, windows


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    context = draw(st.integers(1, 40))
    return draw(st.integers(1, 200)), context, draw(st.integers(1, context))


@given(sizes())
def test_windows_score_every_target_once_in_order(case: tuple[int, int, int]) -> None:
    num_targets, context, stride = case
    found = list(windows(num_targets, context, stride))
    scored = [target for window in found for target in range(window.scored + 1, window.stop + 1)]
    assert scored == list(range(1, num_targets + 1))
    for window in found:
        assert 0 < window.stop - window.start <= context
    for window in found[1:]:
        assert window.scored - window.start >= context - stride
        assert window.stop - window.scored <= stride


def test_by_hand() -> None:
    assert list(windows(4, 4, 2)) == [Window(0, 0, 4)]
    assert list(windows(5, 4, 2)) == [Window(0, 0, 4), Window(1, 4, 5)]
    assert list(windows(9, 4, 2)) == [Window(0, 0, 4), Window(2, 4, 6), Window(4, 6, 8), Window(5, 8, 9)]
    assert list(windows(6, 3, 3)) == [Window(0, 0, 3), Window(3, 3, 6)]


@pytest.mark.parametrize("stride", [0, 5])
def test_a_stride_outside_the_context_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        list(windows(10, 4, stride))
