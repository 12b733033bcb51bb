"""Raw text to token shards: `python launch/preprocess.py corpus=aozora sources.aozora.paths=[aozora.tar.zst]`."""

import sys

from jp_llm.config.app import run
from preprocessing.config import CorpusConfig


def preprocess(config: CorpusConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from preprocessing.run import run as run_preprocess

    run_preprocess(config)


if __name__ == "__main__":
    sys.exit(run("corpus", CorpusConfig, preprocess))
