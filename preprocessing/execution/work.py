"""What the backends have in common: they call `Work` in one process and share out the stages that it performs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from preprocessing.config import CorpusConfig
from preprocessing.executor import Function, Stage
from preprocessing.stuck import reject_large, reject_unit

Perform = Callable[[Stage, bool], list[dict[str, Any]]]
"""Runs a stage (isolated or not, see `run_stage`); results of all its tasks in their order."""
Work = Callable[[CorpusConfig, Path, Perform], None]
"""Everything that a run does in its output folder, stage after stage."""


_IF_STUCK: dict[str, Function] = {"split": reject_large, "clean": reject_unit}


def limited(stage: Stage, config: CorpusConfig) -> Stage:
    """The stage with the limit of time of the configuration, if it is one that reads inputs: only they may be hostile.

    What exceeds it is rejected if damaged files are skipped, else it ends the run.
    """
    if stage.name not in _IF_STUCK:
        return stage
    if_stuck = _IF_STUCK[stage.name] if config.on_damaged_file == "skip" else None
    return replace(stage, max_task_seconds=config.max_task_seconds, if_stuck=if_stuck)
