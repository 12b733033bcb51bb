"""Warm-up, stable, decay (Hu et al. 2024, MiniCPM, section 4.1), with a linear decay."""

from pydantic import Field

from jp_llm.config.section import Section


class WarmupStableDecay(Section):
    """1 for most of the run, then straight down to `minimum`; a run can go on from before the decay."""

    decay_share: float = Field(default=0.2, gt=0, le=1)
    """Share of the steps after warm-up that decay."""
    minimum: float = Field(default=0.0, ge=0, le=1)
    """Factor at the last step."""

    def factor(self, progress: float) -> float:
        """Factor on the peak learning rate; `progress` runs from 0 (end of warm-up) to 1 (end of the run)."""
        into_decay = max(0.0, (progress - (1.0 - self.decay_share)) / self.decay_share)
        return 1.0 - (1.0 - self.minimum) * into_decay
