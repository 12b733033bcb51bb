"""Train: `deepspeed launch/train.py model/size=110m model/arch=llama data.path=corpora/aozora run_dir=runs/first`."""

import sys

from jp_llm.config.app import run
from jp_llm.config.run import RunConfig
from jp_llm.report.at_end import reported
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.heartbeat import Pulse


def train(config: RunConfig) -> ExitCode:
    # Imported late: a configuration error must not cost the load of torch.
    if config.dry_run:
        from jp_llm.train.dry_run import run as run_dry

        return run_dry(config)
    from jp_llm.train.control import Signals
    from jp_llm.train.preflight import check
    from jp_llm.train.status import held, say_refused

    # Torch takes seconds to load, and a signal in the meantime must not be lost.
    signals = Signals().listen()
    try:
        preflight = check(config)
    except UserError as error:
        say_refused(config, error)
        raise
    folder, world = RunFolder(preflight.run_dir), preflight.world
    with held(folder, world), reported(folder.path, world.is_main), Pulse(folder, world, config.watchdog) as pulse:
        from jp_llm.train.build import run as run_training

        code = run_training(preflight, pulse, signals)
        pulse.close(code)
        return code


if __name__ == "__main__":
    sys.exit(run("train", RunConfig, train))
