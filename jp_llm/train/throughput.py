"""How fast the training steps are."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Speed:
    """Over the steps since the last record."""

    tokens_per_second: float
    """Predicted tokens: padding does not count."""
    seconds_per_step: float
    mfu: float | None
    """Model FLOPs utilisation: achieved over peak bf16 FLOP/s of all GPUs; None where the peak is unknown."""


@dataclass
class Throughput:
    """Tokens per second of training steps; evaluation, sampling and saving do not count."""

    flops_per_token: float
    peak_flops: float | None
    """Of all processes together."""
    _tokens: int = 0
    _steps: int = 0
    _seconds: float = 0.0
    _mark: float = field(default_factory=time.perf_counter)

    def add(self, tokens: int) -> None:
        """A step with `tokens` ended now."""
        self._tokens += tokens
        self._steps += 1
        self._seconds += time.perf_counter() - self._mark

    def forget_pause(self) -> None:
        """The next step begins now."""
        self._mark = time.perf_counter()

    def take(self) -> Speed:
        """The speed since the last call."""
        per_second = self._tokens / max(self._seconds, 1e-9)
        per_step = self._seconds / max(self._steps, 1)
        self._tokens, self._steps, self._seconds = 0, 0, 0.0
        mfu = None if self.peak_flops is None else per_second * self.flops_per_token / self.peak_flops
        return Speed(per_second, per_step, mfu)
