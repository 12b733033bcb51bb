"""Measure a model on text: `python launch/evaluate.py model=models/first data=[corpora/aozora]`."""

import sys

from jp_llm.config.app import run
from jp_llm.evaluate.config import EvaluateConfig


def evaluate(config: EvaluateConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.evaluate.run import run as run_evaluate

    run_evaluate(config)


if __name__ == "__main__":
    sys.exit(run("evaluate", EvaluateConfig, evaluate))
