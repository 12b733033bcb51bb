"""Hugging Face model to checkpoint: `python launch/import_hf.py model=downloads/gpt output_dir=models/gpt`."""

import sys

from jp_llm.config.app import run
from jp_llm.huggingface.config import ImportConfig


def import_hf(config: ImportConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.huggingface.run import run as run_import

    run_import(config)


if __name__ == "__main__":
    sys.exit(run("import", ImportConfig, import_hf))
