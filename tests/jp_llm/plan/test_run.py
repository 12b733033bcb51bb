"""The door: words in, a plan out, and words that train."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import ideal
from tiny import VOCAB_SIZE, run_config, write_dataset

from jp_llm.config.app import CONFIG_FOLDER, composed
from jp_llm.config.arithmetic import flops_per_token, num_parameters
from jp_llm.config.build import build
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.expectation import Expectation, expected
from jp_llm.plan.run import main
from jp_llm.plan.search import estimate
from jp_llm.plan.vocabulary import ASSUMED_VOCABULARY

ROOT = CONFIG_FOLDER.parent
WORDS = ["model/size=13b", "model/arch=palm", "cluster=a100-40gb", "cluster.nodes=16"]


def test_a_plan_loads_no_torch() -> None:
    code = f"""
import sys
from jp_llm.plan.run import main
assert main({WORDS!r}) == 0
assert not {{"torch", "deepspeed", "transformers"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "tokens per day" in done.stdout


def test_the_words_of_the_best_layout_train(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "data.path=x", "model.vocab_size=40000", "run_dir=runs/a b", "train.micro_batch_size=2"]
    assert main(words) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    best  ")]
    python, door, *chosen = shlex.split(line.removeprefix("    best  "))
    assert (python, door) == ("python", "launch/train.py")
    assert chosen[: len(words)] == words
    assert len({word.partition("=")[0] for word in chosen}) == len(chosen)
    config = build(RunConfig, *composed("train", chosen))
    assert config.run_dir == "runs/a b"
    assert config.cluster is not None
    assert config.layout_problems(config.cluster.world_size) == []


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    best = answer["plans"][0]
    config = build(RunConfig, *composed("train", [*answer["command"][2:], "data.path=x"]))
    assert best["overrides"] == answer["command"][2 + len(WORDS) :]
    assert best["step_seconds"] == pytest.approx(sum(best["step_parts_seconds"].values()))
    assert best["layout"]["tensor"] == config.parallel.tensor
    assert best["tokens_per_day"] == pytest.approx(best["tokens_per_second"] * 86400)
    assert f"{ASSUMED_VOCABULARY:,}" in answer["notes"][0]
    assert all(plan["fits"] for plan in answer["plans"])


def test_the_vocabulary_is_that_of_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path)
    assert main(["model/size=nano", "cluster=cpu", f"data.path={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert f"vocabulary {VOCAB_SIZE:,}" in out
    assert "assumed;" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model/size=13b"], "cluster: choose the hardware"),
        (["model/size=13b", "cluster.nodes=16"], "cluster.nodes without a cluster"),
        (["model/size=13b", "cluster=a100-40gb", "cluster.memory_gib=20"], "Nearest that fits: "),
        (["model/size=13b", "cluster=a100_40gb"], "cluster: no choice 'a100_40gb'; did you mean 'a100-40gb'?"),
        (["cluster=cpu", "data.path=missing"], "or give model.vocab_size= to plan without it"),
        ([*WORDS, "parallel.world_size=8"], "parallel.world_size: 8 are not the 16 x 8 = 128 processes"),
    ],
)
def test_refusals(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (2, 3)
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("error: ") == 1
    assert captured.out == ""


def test_help_names_what_the_door_does_besides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "--json" in printed
    assert "calibrate run_dir=" in printed


def test_figures_follow_from_the_step() -> None:
    config = run_config(train__precision="bf16", parallel__zero_stage=1, train__num_steps=1000)
    cluster = ideal(peak_tflops=1e-6, matmul_efficiency=0.5, attention_efficiency=0.5)
    figures = Expectation(estimate(config, Layout(data=4), cluster))
    # Nothing takes time but FLOPs, of which half the peak is reached.
    assert figures.mfu == pytest.approx(0.5, rel=1e-3)
    # As training measures it: of the peak in bf16.
    slow = Expectation(estimate(run_config(), Layout(), cluster.model_copy(update={"fp32_tflops": 1e-7})))
    assert slow.mfu == pytest.approx(0.05, rel=1e-3)
    seconds = 1000 * 8 * 16 * flops_per_token(config.model, 16) / 4 / 0.5e6
    assert figures.days * 86400 == pytest.approx(seconds, rel=1e-3)
    assert figures.cost == pytest.approx(seconds / 3600 * 4 * 2, rel=1e-3)
    assert figures.tokens == 1000 * 8 * 16


def test_checkpoints_are_saved_at_the_best_interval_but_not_faster_than_they_are_written() -> None:
    config = run_config(train__precision="bf16", parallel__zero_stage=1)
    bytes_ = 12 * num_parameters(config.model)
    slow = ideal(peak_tflops=1e-6, storage_gb_per_second=1e-9 * bytes_, host_link_gb_per_second=1e-9 * bytes_ / 4)
    found = Expectation(estimate(config, Layout(data=4), slow)).checkpoints
    assert found.bytes == bytes_
    assert found.stall_seconds == pytest.approx(1)
    assert found.write_seconds == pytest.approx(1)
    assert found.interval_seconds == pytest.approx((2 * 1 * 3_600_000) ** 0.5)
    slower = slow.model_copy(update={"storage_gb_per_second": 1e-9 * bytes_ / 10_000})
    assert Expectation(estimate(config, Layout(data=4), slower)).checkpoints.interval_seconds == pytest.approx(10_000)
    waiting = config.model_copy(update={"checkpoint": config.checkpoint.model_copy(update={"asynchronous": False})})
    assert Expectation(estimate(waiting, Layout(data=4), slower)).checkpoints.stall_seconds == pytest.approx(10_000)


def test_a_training_run_is_described_as_it_is() -> None:
    words = [*WORDS, "data.path=x", "model.vocab_size=40000", "parallel.tensor=8", "parallel.zero_stage=2"]
    config = build(RunConfig, *composed("train", words))
    found = expected(config, 64)
    assert found["layout"] == {"tensor": 8, "data": 8, "pipeline": 1, "micro_batches": 64}
    assert "parallel.zero_stage=2" in found["overrides"]
    json.dumps(found)


MISSED = {
    # Perhaps short of memory.
    ("MPT 13b", "8 a100-40gb", 512),
    ("MPT 13b", "8 a100-40gb", 1024),
    ("MPT 13b", "8 a100-40gb", 2048),
    ("MPT 30b", "8 a100-80gb", 8192),
    ("MPT 30b", "8 h100", 8192),
    ("MPT 70b", "64 a100-40gb", 2048),
    # Published slower than on 16 and on 64 of them.
    ("MPT 1b", "32 a100-40gb", 2048),
}
"""Of docs/planning.md: published runs that are predicted more than 15 % off."""


def test_of_all_published_runs_those_are_missed_that_the_docs_name() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/plan_published.py"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"title"')]
    answer = json.loads(line)
    off = [row for row in answer["rows"] if abs(float(row["error"].rstrip("%"))) > 15]
    assert {(row["model"], row["devices"], row["length"]) for row in off} == MISSED
    assert len(off) == len(MISSED)
    counts = {name: (group["rows"], group["within 15%"]) for name, group in answer["summary"].items()}
    assert counts["7B, 13B and NeoX-20B"] == (49, 46)
    assert counts["fitted"] == (15, 15)
    assert counts["all"] == (140, 133)
    assert len(answer["rows"]) == 140
