"""Train: `deepspeed launch/train.py model/size=110m model/arch=llama data.path=corpora/aozora run_dir=runs/first`."""

import sys

from jp_llm.config.app import run
from jp_llm.config.run import RunConfig
from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.heartbeat import Pulse


def train(config: RunConfig) -> ExitCode:
    # Imported late: a configuration error must not cost the load of torch.
    if config.dry_run:
        from jp_llm.train.dry_run import run as run_dry

        run_dry(config)
        return ExitCode.DONE
    from jp_llm.train.preflight import check

    preflight = check(config)
    with Pulse(RunFolder(preflight.run_dir), preflight.world, config.watchdog) as pulse:
        from jp_llm.train.build import run as run_training

        code = run_training(preflight, pulse)
        pulse.close(code)
        return code


if __name__ == "__main__":
    sys.exit(run("train", RunConfig, train))
