"""Where a run stands."""

from dataclasses import asdict, dataclass


@dataclass
class TrainState:
    """Counters that a checkpoint carries. Everything else about the position in the data follows from them."""

    step: int = 0
    """Finished steps, skipped updates included."""
    consumed_samples: int = 0
    """Position in the data: the global index of the sequence behind the last one that was used."""
    consumed_tokens: int = 0
    """Predicted tokens."""
    applied_updates: int = 0
    """Updates that were applied, as AdamW counts them."""
    skipped_updates: int = 0
    """Updates that were not applied because loss or gradient norm were outliers or not finite."""

    def as_dict(self) -> dict[str, int]:
        """For a checkpoint."""
        return asdict(self)

    def become(self, other: "TrainState") -> None:
        """Stand where `other` stands; whoever holds this one sees it."""
        vars(self).update(other.as_dict())
