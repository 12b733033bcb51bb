"""`watchdog`: how a run notices that it stands still, or that one host is slow."""

from pydantic import Field, PositiveFloat

from jp_llm.config.section import Section

LEAST_BEATS = 4


class WatchdogConfig(Section):
    """Every process writes a heartbeat; one watcher per node, a process of its own, reads them."""

    enabled: bool = True
    """Watch the run; without it a hang lasts until the timeout of a collective, or for ever. Set it to false to work
    with a debugger."""
    beat_seconds: PositiveFloat = 5.0
    """Between two heartbeats of a process."""
    silence_seconds: PositiveFloat = 60.0
    """A process of the same node without a heartbeat for so long is dead, stopped, or stuck in one call of a library.
    For processes of other nodes, whose files may be seen late on a shared disk, it is twice as long."""
    step_seconds: PositiveFloat = 600.0
    """A training step that takes longer is a hang."""
    other_seconds: PositiveFloat = 3600.0
    """So is anything else that takes longer: start, evaluation, saving, the first step."""
    grace_seconds: PositiveFloat = 10.0
    """From the dump of the stacks until a process that is still there is killed; also how long a launcher has to notice
    that one of its processes died."""
    straggler_every_steps: int = Field(default=50, ge=0)
    """Steps over which each process measures how long its own work takes; 0 never compares hosts."""
    straggler_deviations: PositiveFloat = 4.0
    """Above the median of its peers by so many (1.4826 x MAD, with a floor of 5 % of the median and 2.5 % of the step),
    twice in a row, a process is reported as slow."""

    def problems(self) -> list[str]:
        least = LEAST_BEATS * self.beat_seconds
        if self.silence_seconds < least:
            return [
                f"silence_seconds: {self.silence_seconds:g} is less than {LEAST_BEATS} heartbeats of "
                f"{self.beat_seconds:g} seconds; raise it to {least:g}, or lower beat_seconds"
            ]
        return []
