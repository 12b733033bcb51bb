"""Train as a Slurm job: `python launch/submit.py cluster=a100-40gb model/size=13b slurm.time=24:00:00`.

With `dry_run=true` the job script is shown and nothing is submitted.
"""

import sys

from jp_llm.config.app import run
from jp_llm.config.run import RunConfig
from jp_llm.runtime.errors import ExitCode
from jp_llm.submit.run import run as run_submit


def submit(config: RunConfig) -> ExitCode:
    return run_submit(config, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run("train", RunConfig, submit))
