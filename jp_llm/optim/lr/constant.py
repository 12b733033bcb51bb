"""Constant learning rate after warm-up."""

from jp_llm.config.section import Section


class Constant(Section):
    """Factor 1 at every step."""

    def factor(self, progress: float) -> float:
        """Factor on the peak learning rate; `progress` runs from 0 (end of warm-up) to 1 (end of the run)."""
        return 1.0
