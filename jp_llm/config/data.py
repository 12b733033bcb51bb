"""`data`: which token shards, in which proportion, and how documents become samples."""

from typing import Literal

from pydantic import Field

from jp_llm.config.section import Section

IGNORED = -100
"""Targets with this value are not predicted: `ignore_index` of torch's cross entropy."""


class ReplayConfig(Section):
    """Samples of another dataset, so that what a model knew is not forgotten while it learns something new."""

    path: str
    """Folder of the old corpus, encoded with the tokenizer of `data.path`."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Of all samples, evenly: of every stretch within one sample."""


class DataConfig(Section):
    """A dataset is the output folder of `launch/preprocess.py`."""

    path: str = ""
    """Folder that holds dataset.json, the shards and the tokenizer."""
    documents: Literal["cut", "whole"] = "cut"
    """cut: documents one after the other are cut into windows of seq_length. whole: windows are packed with documents
    of which none is cut that fits, and padded; attention and prediction stay inside a document (implies
    model.document_mask)."""
    weights: dict[str, float] | None = None
    """Share of each source in every stretch of training, e.g. {wikipedia: 0.3, web: 0.7}; they are scaled to sum to 1.
    Null takes every sample of the dataset exactly once per epoch, whatever its source."""
    replay: ReplayConfig | None = None
    """Mix in samples of another dataset, e.g. {path: corpora/old, share: 0.1}; its sources are called replay/<name>."""
    verify_hashes: bool = False
    """Hash every shard before training (sizes are always compared); `launch/check_shards.py` does the same alone."""
    prefetch_steps: int = Field(default=2, ge=0)
    """Steps that are read ahead by a background thread."""

    def problems(self) -> list[str]:
        return [
            f"weights.{name}: {weight} must be above 0" for name, weight in (self.weights or {}).items() if weight <= 0
        ]
