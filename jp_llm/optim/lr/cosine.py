"""Cosine decay (Loshchilov & Hutter 2017, SGDR, equation 5, without restarts)."""

import math

from pydantic import Field

from jp_llm.config.section import Section


class Cosine(Section):
    """From 1 down to `minimum` along half a cosine."""

    minimum: float = Field(default=0.1, ge=0, le=1)
    """Factor at the last step."""

    def factor(self, progress: float) -> float:
        """Factor on the peak learning rate; `progress` runs from 0 (end of warm-up) to 1 (end of the run)."""
        return self.minimum + (1.0 - self.minimum) * 0.5 * (1.0 + math.cos(math.pi * progress))
