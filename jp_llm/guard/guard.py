"""Judges every step: is this batch an outlier, and if outliers do not end, is it the data or the model?

Outliers are found by median and MAD over the last accepted steps. A step that is one is skipped. Where skipping does
not end it, one is accepted, and the loss must come back; else the run goes back to before the first outlier and leaves
the batches out that lie between (PaLM, Chowdhery et al. 2022, section 5.1).
"""

import math
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from jp_llm.config.guard import GuardConfig
from jp_llm.guard.interventions import Interventions
from jp_llm.guard.level import Level


@dataclass(frozen=True)
class Outbreak:
    """Outliers that did not end."""

    first_step: int
    """Of the first outlier."""
    first_sample: int
    """Of its batch."""
    loss: float
    """At which the loss stays, a median in nats."""
    median: float
    sigma: float
    """Of the loss before."""


@dataclass(frozen=True)
class Decision:
    """What the loop does after a step."""

    action: Literal["go_on", "rewind", "stop"]
    reason: str = ""
    """In words; empty where there is nothing to say."""
    outbreak: Outbreak | None = None


GO_ON = Decision("go_on")


@dataclass
class _Skip:
    step: int
    first_sample: int
    last_sample: int
    finite: bool


@dataclass
class _Probation:
    """Began with an outlier that was accepted because skipping did not help."""

    first_step: int
    first_sample: int
    ends_after_step: int
    median: float
    sigma: float
    losses: list[float] = field(default_factory=list)


class Guard:
    """Sees the same numbers on every process, so that all decide alike. `state` is a part of every checkpoint."""

    def __init__(self, settings: GuardConfig, interventions: Interventions | None = None) -> None:
        self.settings = settings
        self.interventions = Interventions() if interventions is None else interventions
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._skips: list[_Skip] = []
        """Of the last steps."""
        self._in_a_row = 0
        """Of them, up to now."""
        self._probation: _Probation | None = None
        self.degenerate = False
        """Whether most samples repeated themselves when they were last looked at."""

    def judge(self, loss: float, grad_norm: float) -> str | None:
        """Before the update: why it must not be applied, or None. Changes nothing.

        Args:
            loss: nats per token of the global batch.
            grad_norm: of all processes, before clipping. Both may be non-finite.
        """
        settings = self.settings
        if not math.isfinite(loss):
            return "the loss is not finite"
        if not math.isfinite(grad_norm):
            return "the gradient norm is not finite"
        if not settings.enabled or self._enough_skipped or len(self._losses) < settings.active_from:
            return None
        losses, norms = self._levels()
        if loss > losses.limit(settings.deviations):
            return f"loss {loss:.4f} is an outlier: the median is {losses.median:.4f}, sigma {losses.sigma:.4f}"
        if grad_norm > max(norms.limit(settings.deviations), settings.norm_ratio * norms.median):
            return f"gradient norm {grad_norm:.4g} is an outlier: the median is {norms.median:.4g}"
        return None

    def after(self, step: int, samples: range, loss: float, grad_norm: float, refused: str | None) -> Decision:
        """After step number `step` on `samples` (global indices), applied or refused."""
        self._skips = [skip for skip in self._skips if skip.step > step - self._span]
        if refused is None:
            self._accept(step, loss, grad_norm)
        elif spent := self._skip(step, samples, math.isfinite(loss) and math.isfinite(grad_norm)):
            return Decision("stop", f"{refused}, {spent}")
        if self._probation is not None and step >= self._probation.ends_after_step:
            probation, self._probation = self._probation, None
            return self._end(probation, step, samples)
        return GO_ON

    def levels(self) -> dict[str, float]:
        """Median and sigma of loss and gradient norm, for records; nothing before the first accepted step."""
        if not self._losses:
            return {}
        found = zip(("loss", "grad_norm"), self._levels(), strict=True)
        return {f"{name}_{key}": value for name, level in found for key, value in asdict(level).items()}

    def state(self) -> dict[str, Any]:
        """For a checkpoint: JSON, which keeps every bit of a float."""
        return {
            "losses": list(self._losses),
            "grad_norms": list(self._norms),
            "skips": [asdict(skip) for skip in self._skips],
            "in_a_row": self._in_a_row,
            "probation": None if self._probation is None else asdict(self._probation),
            "degenerate": self.degenerate,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint; {} forgets everything. A guard that is off has nothing on probation."""
        self._losses = list(state.get("losses", ()))[-self.settings.window :]
        self._norms = list(state.get("grad_norms", ()))[-self.settings.window :]
        self._skips = [_Skip(**skip) for skip in state.get("skips", ())]
        self._in_a_row = state.get("in_a_row", 0)
        probation = state.get("probation") if self.settings.enabled else None
        self._probation = None if probation is None else _Probation(**probation)
        self.degenerate = state.get("degenerate", False)

    @property
    def _enough_skipped(self) -> bool:
        return self._in_a_row >= self.settings.max_skips_in_a_row

    @property
    def _span(self) -> int:
        # Wide enough that skips in a row come to their own end.
        return max(self.settings.window, 2 * self.settings.max_skips_in_a_row)

    def _skip(self, step: int, samples: range, finite: bool) -> str | None:
        """Remember it; why there must not be one more, if so."""
        settings = self.settings
        self._skips.append(_Skip(step, samples.start, samples.stop - 1, finite))
        self._in_a_row += 1
        last = self._skips[-settings.max_skips_in_a_row :]
        if self._enough_skipped and not any(skip.finite for skip in last):
            return f"{len(last)} times in a row: {_batches(last)}"
        # What was an outlier is none where the guard is off now.
        count = sum(settings.enabled or not skip.finite for skip in self._skips)
        if 2 * count > self._span:
            return f"and {count} of the last {self._span} steps were skipped, the last of them {_batches(last)}"
        return None

    def _levels(self) -> tuple[Level, Level]:
        settings = self.settings
        return Level.of(self._losses, settings.loss_floor), Level.of(self._norms, settings.norm_floor)

    def _accept(self, step: int, loss: float, grad_norm: float) -> None:
        if self._enough_skipped and self._losses:
            if self._probation is None and self.settings.enabled:
                first, (level, _) = self._skips[-self._in_a_row :][0], self._levels()
                end = step + self.settings.patience_steps
                self._probation = _Probation(first.step, first.first_sample, end, level.median, level.sigma)
            self._losses, self._norms = [], []
        self._in_a_row = 0
        if self._probation is not None:
            self._probation.losses.append(loss)
        for values, value in ((self._losses, loss), (self._norms, grad_norm)):
            values.append(value)
            del values[: -self.settings.window]

    def _end(self, probation: _Probation, step: int, samples: range) -> Decision:
        settings = self.settings
        loss = median(probation.losses[-settings.max_skips_in_a_row :])
        margin = settings.deviations * probation.sigma
        told = (
            f"loss {loss:.4f}, {step - probation.first_step + 1} steps after an outlier; {probation.median:.4f} before"
        )
        if loss <= probation.median + margin:
            return Decision("go_on", f"came back: {told}")
        seen = [one for one in self.interventions if one.from_sample <= samples.start]
        if loss <= probation.median * (1 + settings.level_shift) and any(loss <= one.loss + margin for one in seen):
            return Decision("go_on", f"a new level, which a rewind has not changed: {told}")
        outbreak = Outbreak(probation.first_step, probation.first_sample, loss, probation.median, probation.sigma)
        recent = sum(one.step > step - settings.rewind_budget_steps for one in self.interventions)
        if recent >= settings.max_rewinds:
            spent = f"{recent} rewinds in {settings.rewind_budget_steps} steps, all that guard.max_rewinds allows"
            batches = f"steps {probation.first_step} to {step}, samples {probation.first_sample} to {samples.stop - 1}"
            return Decision("stop", f"{told}, after {spent} ({batches})", outbreak)
        return Decision("rewind", f"did not come back: {told}", outbreak)


def _batches(skips: list[_Skip]) -> str:
    return ", ".join(f"step {skip.step} samples {skip.first_sample} to {skip.last_sample}" for skip in skips)
