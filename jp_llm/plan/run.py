"""The door of the planner: words to a plan."""

import json
from collections.abc import Sequence

from jp_llm.config import app
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan import calibrate
from jp_llm.plan.calibrate import CalibrateConfig
from jp_llm.plan.expectation import Expectation
from jp_llm.plan.remedy import refusal
from jp_llm.plan.report import report
from jp_llm.plan.search import SEARCHED, Estimate, search
from jp_llm.plan.time import step_time
from jp_llm.plan.vocabulary import with_vocabulary
from jp_llm.runtime.errors import config_error

NAMED_KINDS = 8
JSON_FLAG = "--json"
CALIBRATE = "calibrate"
HELP_FLAGS = {"-h", "--help"}
HELP = f"""\
The best layouts of a run on a cluster, e.g. model/size=13b cluster=a100-40gb cluster.nodes=16, see docs/planning.md.
  {JSON_FLAG}  prints the plan as JSON
  {CALIBRATE} run_dir=runs/first cluster=a100-80gb [output=ours]  finds out how fast a run really was
"""


class PlanConfig(RunConfig):
    """A run that has a cluster, and no dataset yet."""

    def problems(self) -> list[str]:
        # The search decides how the batch is divided.
        settled = ("data.path:", "train.global_batch_size:")
        found = [problem for problem in super().problems() if not problem.startswith(settled)]
        given = self.parallel.world_size
        if given is not None and self.cluster is not None and given != self.cluster.world_size:
            found = [
                f"parallel.world_size: {given} are not the {self.cluster.nodes} x {self.cluster.devices_per_node} = "
                f"{self.cluster.world_size} processes of the cluster, for which is planned; leave it out, or change "
                "cluster.nodes or cluster.devices_per_node"
            ]
        return found


def main(words: Sequence[str]) -> int:
    """Plan the run that `words` describe to `launch/train.py`; with --json the plan is printed as JSON. Behind the word
    `calibrate` stand those of `jp_llm.plan.calibrate`.

    Returns:
        Exit code: 2 if nothing fits, with the nearest that does.
    """
    if words[:1] == [CALIBRATE]:
        return app.run(CALIBRATE, CalibrateConfig, lambda config: calibrate.run(config, seconds_per_step), words[1:])
    if HELP_FLAGS & set(words):
        print(HELP)
    overrides = [word for word in words if word != JSON_FLAG]

    def show(config: PlanConfig) -> None:
        print(plan(config, overrides, as_json=JSON_FLAG in words))

    return app.run("train", PlanConfig, show, overrides)


def seconds_per_step(config: RunConfig, layout: Layout, cluster: ClusterConfig) -> float:
    """What the planner expects."""
    return step_time(config, layout, cluster).total


def plan(config: RunConfig, words: Sequence[str], *, as_json: bool = False) -> str:
    """Text or JSON of the best layouts.

    Raises:
        UserError: no cluster is named, its dataset cannot be read, or nothing fits.
    """
    cluster = config.cluster
    if cluster is None:
        raise config_error(
            ["cluster: choose the hardware, e.g. cluster=a100-80gb cluster.nodes=4 (--help lists the files)"]
        )
    config, notes = with_vocabulary(config)
    held = held_keys(words)
    found = search(config, cluster, held)
    if found.best is None:
        raise config_error([refusal(config, cluster, held, found)])
    kinds = found.kinds(NAMED_KINDS)
    command = ["python", "launch/train.py", *training_words(words, found.best)]
    if not config.data.path:
        notes.append("name the dataset in the command below: data.path=...")
    if as_json:
        plans = [Expectation(estimate).to_json() for estimate in kinds]
        return json.dumps({"command": command, "notes": notes, "plans": plans}, ensure_ascii=False, indent=2)
    return report(kinds, command, notes)


def held_keys(words: Sequence[str]) -> frozenset[str]:
    """What the user has decided: keys of `SEARCHED` among the words, or a whole section."""
    given = {word.partition("=")[0] for word in words}
    return frozenset(key for key in SEARCHED if key in given or key.partition(".")[0] in given)


def training_words(words: Sequence[str], best: Estimate) -> list[str]:
    """The user's words and those that choose the layout."""
    given = {word.partition("=")[0] for word in words}
    return [*words, *(word for word in best.overrides if word.partition("=")[0] not in given)]
