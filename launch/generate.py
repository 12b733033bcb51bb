"""Write texts: `python launch/generate.py model=models/first prompts=[昔々、]`."""

import sys

from jp_llm.config.app import run
from jp_llm.generate.config import GenerateConfig


def generate(config: GenerateConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.generate.run import run as run_generate

    run_generate(config)


if __name__ == "__main__":
    sys.exit(run("generate", GenerateConfig, generate))
