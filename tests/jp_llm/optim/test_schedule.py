"""Learning rates at hand-computed steps."""

import math

import pytest

from jp_llm.config.optim import OptimConfig
from jp_llm.optim.groups import decays
from jp_llm.optim.schedule import build_schedule, learning_rate

CONFIG = OptimConfig(learning_rate=2.0, warmup_steps=10)


def rates(name: str, steps: list[int], **options: float) -> list[float]:
    schedule = build_schedule(OptimConfig(schedule=name, schedule_options=options))
    return [learning_rate(CONFIG, schedule, step, num_steps=110) for step in steps]


def test_warm_up_is_the_same_line_everywhere() -> None:
    for name in ("constant", "linear", "cosine", "wsd"):
        assert rates(name, [1, 5, 10]) == pytest.approx([0.2, 1.0, 2.0])


def test_decays() -> None:
    assert rates("constant", [60, 110]) == [2.0, 2.0]
    assert rates("linear", [60, 110]) == pytest.approx([1.0, 0.0])
    assert rates("linear", [110], minimum=0.25) == pytest.approx([0.5])
    assert rates("cosine", [35, 60, 110], minimum=0.0) == pytest.approx([1 + math.cos(math.pi / 4), 1.0, 0.0])
    assert rates("cosine", [60, 110], minimum=0.1) == pytest.approx([1.1, 0.2])
    assert rates("wsd", [90, 100, 110]) == pytest.approx([2.0, 1.0, 0.0])
    assert rates("wsd", [60, 85, 110], decay_share=0.5, minimum=0.5) == pytest.approx([2.0, 1.5, 1.0])


def test_a_run_that_goes_on_behind_its_last_step_keeps_the_last_rate() -> None:
    assert rates("cosine", [111, 500], minimum=0.1) == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("cosin", {}, "did you mean 'cosine'"),
        ("cosine", {"minimun": 0.1}, "schedule_options.minimun: no such key; did you mean minimum?"),
        ("wsd", {"decay_share": 2.0}, "schedule_options.decay_share: input should be less than or equal to 1"),
        ("constant", {"minimum": 0.0}, "schedule_options.minimum: no such key"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, float], expected: str) -> None:
    (problem,) = OptimConfig(schedule=name, schedule_options=options).problems()
    assert expected in problem


def test_what_decays() -> None:
    spared = ("embedding.weight", "positions.weight", "final_norm.weight", "layers.3.attention.q.bias")
    assert not any(map(decays, (*spared, "layers.3.mlp_norm.weight", "layers.3.attention.q_norm.weight")))
    assert all(map(decays, ("layers.3.attention.q.weight", "layers.11.mlp.down.weight", "head.weight")))
