"""Where a noisy quantity stands, told so that outliers do not move it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

NORMAL = 1.4826
"""Times the median absolute deviation: the standard deviation of a normal distribution (Rousseeuw and Croux 1993,
section 1)."""


@dataclass(frozen=True)
class Level:
    """Median and deviation of the last values."""

    median: float
    sigma: float

    @classmethod
    def of(cls, values: Sequence[float], floor: float) -> "Level":
        """Of finite values, at least one; sigma is never less than the share `floor` of the median."""
        middle = median(values)
        deviation = NORMAL * median(abs(value - middle) for value in values)
        return cls(middle, max(deviation, floor * abs(middle)))

    def limit(self, deviations: float) -> float:
        """What lies above is an outlier."""
        return self.median + deviations * self.sigma
