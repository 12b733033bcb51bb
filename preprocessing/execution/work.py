"""What the backends have in common: they call `Work` in one process and share out the stages that it performs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from preprocessing.config import CorpusConfig
from preprocessing.executor import Stage

Perform = Callable[[Stage, bool], list[dict[str, Any]]]
"""Runs a stage (isolated or not, see `run_stage`); results of all its tasks in their order."""
Work = Callable[[CorpusConfig, Path, Perform], None]
"""Everything that a run does in its output folder, stage after stage."""


def limited(stage: Stage, config: CorpusConfig, isolated: bool) -> Stage:
    """The stage with the limit of time of the configuration; a single isolated task (a tokenizer) has none."""
    return stage if isolated else replace(stage, max_task_seconds=config.max_task_seconds)
