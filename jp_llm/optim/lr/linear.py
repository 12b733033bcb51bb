"""Linear decay."""

from pydantic import Field

from jp_llm.config.section import Section


class Linear(Section):
    """From 1 down to `minimum` on a straight line."""

    minimum: float = Field(default=0.0, ge=0, le=1)
    """Factor at the last step."""

    def factor(self, progress: float) -> float:
        """Factor on the peak learning rate; `progress` runs from 0 (end of warm-up) to 1 (end of the run)."""
        return 1.0 - (1.0 - self.minimum) * progress
