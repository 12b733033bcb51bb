"""`supervise`: what launch/supervise.py does when a run ends before its last step."""

from pydantic import Field, PositiveFloat, PositiveInt

from jp_llm.config.section import Section


class SuperviseConfig(Section):
    """A run that was saved and stopped from outside, hung or crashed is started again; one that was refused is not."""

    max_restarts: int = Field(default=50, ge=0)
    """Restarts after crashes and hangs; reset whenever a restart gets further by reset_steps."""
    reset_steps: PositiveInt = 1000
    """Progress after which earlier restarts no longer count."""
    same_step_deaths: PositiveInt = 2
    """The run stops when it died so often at the same step."""
    backoff_seconds: PositiveFloat = 5.0
    """Wait before the first restart; doubled with each restart without progress."""
    max_backoff_seconds: PositiveFloat = 300.0
    """Longest wait."""
    failed_seconds: PositiveFloat = 30.0
    """From the failure of one process until the launcher is killed, if it has not ended by itself."""
    stop_seconds: PositiveFloat = 600.0
    """From the order to save and stop until the launcher is killed."""
    fruitless_requeues: PositiveInt = 5
    """So often in a row a Slurm job goes back to the queue without having got a step further; then it stops."""
