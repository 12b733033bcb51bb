"""`data`: which token shards, in which proportion."""

from pydantic import Field

from jp_llm.config.section import Section


class DataConfig(Section):
    """A dataset is the output folder of `launch/preprocess.py`."""

    path: str = ""
    """Folder that holds dataset.json, the shards and the tokenizer."""
    weights: dict[str, float] | None = None
    """Share of each source in every stretch of training, e.g. {wikipedia: 0.3, web: 0.7}; they are scaled to sum to 1.
    Null takes every sample of the dataset exactly once per epoch, whatever its source."""
    verify_hashes: bool = False
    """Hash every shard before training (sizes are always compared); `launch/check_shards.py` does the same alone."""
    prefetch_steps: int = Field(default=2, ge=0)
    """Steps that are read ahead by a background thread."""

    def problems(self) -> list[str]:
        return [
            f"weights.{name}: {weight} must be above 0" for name, weight in (self.weights or {}).items() if weight <= 0
        ]
