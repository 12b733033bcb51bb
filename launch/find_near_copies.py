"""Divide generated texts into new ones and near copies of the training text:
`python launch/find_near_copies.py index=indexes/aozora texts=texts.jsonl accepted=new.jsonl rejected=copies.jsonl`.
"""

import sys

from jp_llm.config.app import run
from jp_llm.near_copies.config import FindNearCopiesConfig


def find_near_copies(config: FindNearCopiesConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.near_copies.run import find

    find(config)


if __name__ == "__main__":
    sys.exit(run("find_near_copies", FindNearCopiesConfig, find_near_copies))
