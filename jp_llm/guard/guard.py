"""Judges every step, before its update is applied and after."""

from dataclasses import dataclass
from typing import Any, Literal

from jp_llm.config.guard import GuardConfig


@dataclass(frozen=True)
class Decision:
    """What the loop does after a step."""

    action: Literal["go_on", "rewind", "stop"]
    reason: str = ""


class Guard:
    """Sees the same numbers on every process, so that all decide alike."""

    def __init__(self, settings: GuardConfig) -> None:
        self.settings = settings

    def judge(self, loss: float, grad_norm: float) -> str | None:
        """Before the update: why it must not be applied, or None. Numbers may be non-finite."""
        return None

    def after(self, step: int, loss: float, grad_norm: float, skipped: str | None) -> Decision:
        """After the step, applied or skipped."""
        return Decision("go_on")

    def state(self) -> dict[str, Any]:
        """For a checkpoint: JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
