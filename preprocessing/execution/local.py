"""Processes of this machine."""

from typing import Any

from preprocessing.config import CorpusConfig
from preprocessing.execution.work import Work, limited
from preprocessing.executor import Stage, available_cores, run_stage
from preprocessing.output_folder import claimed


def run(config: CorpusConfig, work: Work) -> None:
    """Call `work`, whose stages are done by `num_workers` processes."""

    def perform(stage: Stage, isolated: bool) -> list[dict[str, Any]]:
        return run_stage(limited(stage, config), config.num_workers or available_cores(), isolated=isolated)

    with claimed(config) as folder:
        work(config, folder, perform)
