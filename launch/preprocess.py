"""Raw text to token shards: `python launch/preprocess.py corpus=aozora sources.aozora.paths=[aozora.tar.zst]`.

Also `mpirun -n 16 python launch/preprocess.py ...`, `srun ...`, or in a script for `sbatch --array=0-15`.
"""

import os
import sys

from jp_llm.config.app import run
from preprocessing.config import CorpusConfig
from preprocessing.execution.launcher import launch


def preprocess(config: CorpusConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    if config.dry_run:
        from preprocessing.dry_run import dry_run

        if launch().is_first:
            dry_run(config)
        return
    from preprocessing.run import run as run_preprocess

    run_preprocess(config)


if __name__ == "__main__":
    from preprocessing.execution.mpi import ending_all_ranks

    # One of the processes speaks for all about the configuration.
    os.environ["RANK"] = str(launch().rank)
    with ending_all_ranks():
        sys.exit(run("corpus", CorpusConfig, preprocess))
