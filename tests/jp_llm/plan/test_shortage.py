"""A run that by the plan does not fit its cluster: what is said, and where."""

import re
from pathlib import Path

import pytest

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.config.run import RunConfig
from jp_llm.plan.memory import rank_memory
from jp_llm.plan.shortage import shortage
from jp_llm.submit.job import job_of
from jp_llm.submit.run import warnings
from jp_llm.train import dry_run

WORDS = ("model/size=13b", "model.vocab_size=50000", "data.path=x")


def configured(*words: str) -> RunConfig:
    return build(RunConfig, *composed("train", [*WORDS, *words]))


def test_it_says_how_much_is_needed_and_what_to_do() -> None:
    config = configured("cluster=a100-40gb")
    text = shortage(config, 8)
    assert text is not None
    needed = rank_memory(config, config.parallel.layout(8)).total / 2**30
    assert f"needs {needed:.1f} of 39.4 GiB on each device of a100-40gb by the plan" in text
    assert needed > 100
    assert "launch/plan.py" in text


def test_it_says_which_memory() -> None:
    config = configured("cluster=h200", "cluster.host_memory_gib=1")
    text = shortage(config.model_copy(update={"parallel": config.parallel.model_copy(update={"zero_stage": 3})}), 64)
    assert text is not None
    assert re.search(r"needs [\d.]+ of 1 GiB of host memory on each node of h200", text)


@pytest.mark.parametrize(
    ("words", "world_size"),
    [
        ((), 8),
        (("cluster=h200", "parallel.zero_stage=3"), 64),
        (("cluster=a100-40gb", "parallel.tensor=8"), 12),  # impossible, which others say
    ],
)
def test_it_says_nothing_of_others(words: tuple[str, ...], world_size: int) -> None:
    assert shortage(configured(*words), world_size) is None


def test_a_dataset_that_only_compute_nodes_see_is_no_error() -> None:
    config = build(RunConfig, *composed("train", ["model/size=13b", "data.path=/elsewhere", "cluster=a100-40gb"]))
    assert shortage(config, 8) is not None


def test_submission_warns(tmp_path: Path) -> None:
    config = configured("cluster=a100-40gb", f"run_dir={tmp_path}/run")
    job = job_of(config)
    assert shortage(config, job.world_size) in list(warnings(job))


@pytest.mark.parametrize(("memory", "warned"), [(0.5, True), (39.4, False)])
def test_a_dry_run_warns(memory: float, warned: bool, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model/size=nano", "model.vocab_size=500", "cluster=a100-40gb", f"cluster.memory_gib={memory}"]
    dry_run.run(build(RunConfig, *composed("train", [*words, "dry_run=true"])))
    printed = capsys.readouterr().err
    assert ("warning: the run needs" in printed) is warned
