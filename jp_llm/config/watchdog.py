"""`watchdog`: how a run notices that it stands still, or that one host is slow."""

from pydantic import Field, PositiveFloat

from jp_llm.config.section import Section


class WatchdogConfig(Section):
    """Every process writes a heartbeat; one watcher per node, a process of its own, reads them."""

    enabled: bool = True
    """Watch the run; without it a hang lasts until the timeout of a collective, or for ever."""
    beat_seconds: PositiveFloat = 5.0
    """Between two heartbeats of a process."""
    step_seconds: PositiveFloat = 600.0
    """A training step that takes longer is a hang."""
    other_seconds: PositiveFloat = 3600.0
    """So is anything else that takes longer: start, evaluation, saving, the first step."""
    grace_seconds: PositiveFloat = 10.0
    """From the dump of the stacks until a process that is still there is killed."""
    straggler_every_steps: int = Field(default=50, ge=0)
    """Steps over which each process measures how long its own work takes; 0 never compares hosts."""
    straggler_deviations: PositiveFloat = 4.0
    """Above the median of its peers by so many (1.4826 x MAD, with a floor of 2 % of the median), twice in a row, a
    process is reported as slow."""
