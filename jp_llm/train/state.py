"""Where a run stands."""

from dataclasses import asdict, dataclass


@dataclass
class TrainState:
    """Counters that a checkpoint carries. Everything else about the position in the data follows from them."""

    step: int = 0
    """Finished steps, skipped updates included."""
    consumed_samples: int = 0
    """Sequences, which is also the global index of the next one."""
    consumed_tokens: int = 0
    """Predicted tokens."""
    applied_updates: int = 0
    """Updates that were applied, as AdamW counts them."""
    skipped_updates: int = 0
    """Updates that were not applied because the gradient norm was not finite."""

    def as_dict(self) -> dict[str, int]:
        """For a checkpoint."""
        return asdict(self)
