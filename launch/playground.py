"""Try a model in a browser of this machine: `python launch/playground.py model=runs/first`."""

import sys

from jp_llm.config.app import run
from jp_llm.playground.config import PlaygroundConfig


def playground(config: PlaygroundConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.playground.run import run as run_playground

    run_playground(config)


if __name__ == "__main__":
    sys.exit(run("playground", PlaygroundConfig, playground))
