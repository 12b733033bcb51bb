"""Learning rate of a step: linear warm-up, then a file of `jp_llm/optim/lr`."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from pydantic import ValidationError

from jp_llm.config.optim import OptimConfig
from jp_llm.runtime import plugin
from jp_llm.runtime.errors import config_error


class Schedule(Protocol):
    """What a file of `jp_llm/optim/lr` defines."""

    def factor(self, progress: float) -> float: ...


def build_schedule(name: str, options: Mapping[str, Any]) -> Schedule:
    """The schedule `name` with its options.

    Raises:
        UserError: exit code 2; unknown name, unknown option or value out of range.
    """
    schedule_class = plugin.load("jp_llm.optim.lr", name)
    try:
        return cast(Schedule, schedule_class(**options))
    except ValidationError as error:
        known = ", ".join(schedule_class.model_fields) or "no options"  # type: ignore[attr-defined]
        raise config_error(
            f"optim.schedule_options.{item['loc'][0]}: {item['msg']}; {name} takes {known}" for item in error.errors()
        ) from None


def learning_rate(config: OptimConfig, schedule: Schedule, step: int, num_steps: int) -> float:
    """Learning rate of the update that ends `step` (the first step is 1, the last is `num_steps`)."""
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    return config.learning_rate * schedule.factor(min(1.0, progress))
