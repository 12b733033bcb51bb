"""Generate the sample corpus: `python launch/sample_corpus.py output_dir=corpora/sample`."""

import sys

from jp_llm.config.app import run
from preprocessing.sample.config import SampleConfig


def generate_sample(config: SampleConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from preprocessing.sample.generate import run as run_generate_sample

    run_generate_sample(config)


if __name__ == "__main__":
    sys.exit(run("sample_corpus", SampleConfig, generate_sample))
