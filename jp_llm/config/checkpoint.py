"""`checkpoint`: when the state is saved and what is kept."""

from pydantic import Field, PositiveInt

from jp_llm.config.section import Section


class CheckpointConfig(Section):
    """Checkpoints lie in `run_dir`/checkpoints/step_N; the last step is always saved."""

    every_steps: int = Field(default=1000, ge=0)
    """Steps between checkpoints; 0 saves only at the end."""
    keep_last: PositiveInt = 2
    """Checkpoints that are kept."""
    keep_every_steps: int = Field(default=0, ge=0)
    """Checkpoints at multiples of this are kept for ever; 0 keeps none beyond keep_last."""
    asynchronous: bool = True
    """Stop training only to copy the state to host memory (12 bytes per parameter that a process holds), and write it
    while training goes on; otherwise training waits for the disk."""

    def problems(self) -> list[str]:
        if self.keep_every_steps and (not self.every_steps or self.keep_every_steps % self.every_steps):
            return [
                f"keep_every_steps: {self.keep_every_steps} is not a multiple of every_steps {self.every_steps}, so "
                "not all of these checkpoints would exist; make it one, or set it to 0"
            ]
        return []
