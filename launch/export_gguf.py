"""A file for llama.cpp and Ollama: `python launch/export_gguf.py model=models/first output=models/first.gguf`."""

import sys

from jp_llm.config.app import run
from jp_llm.export.gguf_config import ExportGGUFConfig


def export(config: ExportGGUFConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.export.gguf_run import run as run_export

    run_export(config)


if __name__ == "__main__":
    sys.exit(run("export_gguf", ExportGGUFConfig, export))
