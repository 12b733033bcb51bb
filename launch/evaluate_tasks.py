"""Japanese tasks: `python launch/evaluate_tasks.py model=models/first jglue=data/jglue limit=200`."""

import sys

from jp_llm.config.app import run
from jp_llm.evaluate.config import EvaluateTasksConfig


def evaluate_tasks(config: EvaluateTasksConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.evaluate.tasks import run as run_evaluate_tasks

    run_evaluate_tasks(config)


if __name__ == "__main__":
    sys.exit(run("evaluate_tasks", EvaluateTasksConfig, evaluate_tasks))
