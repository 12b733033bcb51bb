"""Measure what a model writes: `python launch/evaluate_samples.py model=models/first`."""

import sys

from jp_llm.config.app import run
from jp_llm.evaluate.config import EvaluateSamplesConfig


def evaluate_samples(config: EvaluateSamplesConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.evaluate.samples import run as run_evaluate_samples

    run_evaluate_samples(config)


if __name__ == "__main__":
    sys.exit(run("evaluate_samples", EvaluateSamplesConfig, evaluate_samples))
