"""Learning rate of a step: linear warm-up, then a file of `jp_llm/optim/lr`."""

from typing import Protocol, cast

from jp_llm.config.build import build
from jp_llm.config.optim import OptimConfig
from jp_llm.runtime import plugin


class Schedule(Protocol):
    """What a file of `jp_llm/optim/lr` defines."""

    def factor(self, progress: float) -> float: ...


def build_schedule(config: OptimConfig) -> Schedule:
    """The schedule that `config` names, with its options.

    Raises:
        UserError: exit code 2; `OptimConfig.problems` says the same before.
    """
    return cast(Schedule, build(plugin.load("jp_llm.optim.lr", config.schedule), config.schedule_options))


def learning_rate(config: OptimConfig, schedule: Schedule, step: int, num_steps: int) -> float:
    """Learning rate of the update that ends `step` (the first step is 1, the last is `num_steps`)."""
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    return config.learning_rate * schedule.factor(min(1.0, progress))
