"""`guard`: what is done about steps that look wrong."""

from pydantic import Field, PositiveFloat, PositiveInt

from jp_llm.config.section import Section


class GuardConfig(Section):
    """Loss and gradient norm are compared with the median of the last accepted steps. Deviations are counted in
    1.4826 x MAD, the standard deviation of a normal distribution, with a floor."""

    enabled: bool = True
    """Skip outliers and rewind; what is not finite is skipped either way, and stops the run where it does not end."""
    window: PositiveInt = 128
    """Accepted steps that are looked back at. If more than half of so many steps are skipped, the run stops."""
    active_from: PositiveInt = 64
    """Accepted steps before anything is judged."""
    deviations: PositiveFloat = 6.0
    """Above the median by so many, a loss is an outlier; a gradient norm must also be above norm_ratio."""
    loss_floor: PositiveFloat = 0.005
    """Least deviation of the loss, as a share of the median."""
    norm_floor: PositiveFloat = 0.1
    """Least deviation of the gradient norm, as a share of the median."""
    norm_ratio: PositiveFloat = 10.0
    """A gradient norm is an outlier only above so many medians."""
    max_skips_in_a_row: PositiveInt = 8
    """So many steps are skipped, then one is accepted and the window begins anew; if none was finite, the run stops."""
    patience_steps: PositiveInt = 32
    """Steps after that in which the loss must come back to where it was; else the run rewinds."""
    rewind_steps: PositiveInt = 100
    """How far before the first outlier the batches begin that a rewind leaves out, and at least how far the checkpoint
    lies that it goes back to (PaLM, section 5.1: about 100)."""
    skip_batches: PositiveInt = 300
    """Batches that are left out after a rewind (PaLM, section 5.1: 200 to 500); more where the run has seen more of
    them since, and then as many as patience_steps on top."""
    level_shift: float = Field(default=0.25, ge=0)
    """A loss that a rewind has not brought down is taken for a new level (other data) up to this share above the
    median, and no longer fought; what is higher has diverged."""
    max_rewinds: int = Field(default=3, ge=0)
    """Rewinds within rewind_budget_steps; one more stops the run."""
    rewind_budget_steps: PositiveInt = 10_000
    """Steps in which max_rewinds are allowed."""
    replica_check_every_steps: int = Field(default=100, ge=0)
    """Steps between comparisons of what several processes must hold alike; 0 never compares."""

    def problems(self) -> list[str]:
        if self.active_from > self.window:
            return [
                f"active_from: {self.active_from} accepted steps never stand in a window of {self.window}, so nothing "
                "would ever be judged; lower it, or set enabled=false"
            ]
        return []
