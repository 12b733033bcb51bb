"""Index the training text: `python launch/index_near_copies.py data=[corpora/aozora] output_dir=indexes/aozora`."""

import sys

from jp_llm.config.app import run
from jp_llm.near_copies.config import IndexNearCopiesConfig


def index_near_copies(config: IndexNearCopiesConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.near_copies.run import index

    index(config)


if __name__ == "__main__":
    sys.exit(run("index_near_copies", IndexNearCopiesConfig, index_near_copies))
