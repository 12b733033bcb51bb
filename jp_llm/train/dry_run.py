"""`dry_run=true`: check a run of any number of processes, and say what it would be, without them."""

import os
import sys

from jp_llm.config.run import RunConfig
from jp_llm.plan.shortage import shortage
from jp_llm.runtime.env import rank_from
from jp_llm.runtime.errors import ExitCode, config_error
from jp_llm.train.preflight import check, planned_world, world_problems
from jp_llm.train.summary import format_rows, summary, summary_rows


def run(config: RunConfig) -> ExitCode:
    """Print `describe` once, however many processes the launcher started."""
    text = describe(config)
    if rank_from(os.environ) == 0:
        print(text)
        if missing := shortage(config, planned_world(config).size):
            print(f"warning: {missing}", file=sys.stderr)
    return ExitCode.DONE


def describe(config: RunConfig) -> str:
    """Check a run and describe each of its processes.

    Raises:
        UserError: everything that is wrong with configuration, layout and (if one is named) dataset.
    """
    if config.data.path:
        preflight = check(config)
        config, layout, head = preflight.config, preflight.layout, summary(preflight)
    else:
        world = planned_world(config)
        problems = world_problems(config, world)
        if problems:
            raise config_error(problems)
        layout = config.parallel.layout(world.size)
        unchecked = "none named, so not checked: shards, tokenizer, number of tokens, held-out text, sample prompts"
        head = format_rows(summary_rows(config, world, unchecked))
    # Imported late: what is refused must not cost the load of torch.
    from jp_llm.train.stage_report import stage_report

    return f"{head}\n{stage_report(config, layout)}"
