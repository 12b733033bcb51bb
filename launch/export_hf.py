"""Checkpoint to Hugging Face: `python launch/export_hf.py checkpoint=runs/first output_dir=models/first`."""

import sys

from jp_llm.config.app import run
from jp_llm.export.config import ExportConfig


def export(config: ExportConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.export.run import run as run_export

    run_export(config)


if __name__ == "__main__":
    sys.exit(run("export", ExportConfig, export))
