"""Every logger takes every record."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jp_llm.runtime import plugin
from jp_llm.runtime.env import World
from jp_llm.train.records import Events, Records, flat_numbers

TRAIN: dict[str, Any] = {
    "kind": "train",
    "step": 12,
    "consumed_tokens": 3072,
    "loss": 3.25,
    "z_loss": 0.0,
    "grad_norm": 0.5,
    "learning_rate": 2e-3,
    "applied": True,
    "tokens_per_second": 12345.0,
    "mfu": 0.4123,
    "seconds_left": 3723.0,
}
MEASURES = {"loss": 3.0, "perplexity": 20.0855, "bits_per_character": 2.5, "bits_per_byte": 0.9, "samples": 4}
EVAL: dict[str, Any] = {"kind": "eval", "step": 12, "sources": {"books": MEASURES}}
SAMPLE: dict[str, Any] = {"kind": "sample", "step": 12, "prompt": "昔々、", "completion": "山が\nあった。"}
REASON = "the gradient norm is not finite"
SKIPPED = TRAIN | {"step": 13, "grad_norm": None, "applied": False, "reason": REASON, "mfu": None}
REPETITION: dict[str, Any] = {
    "kind": "repetition",
    "step": 12,
    "repeated_4grams": 0.25,
    "repeats": 3,
    "degenerate_samples": 0.0,
}


def test_the_progress_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = Records(("console",), World(), tmp_path, 1000, {})
    for record in (TRAIN, EVAL, SAMPLE, SKIPPED, REPETITION):
        records.log(record)
    first, second, third, fourth, fifth = capsys.readouterr().out.splitlines()
    assert first == (
        "step   12/1000 | loss 3.2500 | lr 2.00e-03 | grad norm 0.50 | 12.3k tokens/s | MFU 41.2% | 1h02m left"
    )
    assert "books: loss 3.0000, perplexity 20.09, 2.500 bits/character, 0.900 bits/byte" in second
    assert third == "  sample: 昔々、→山が⏎あった。"
    assert "grad norm not finite" in fourth
    assert fourth.endswith("update skipped: the gradient norm is not finite")
    assert fifth == (
        "  samples: 25% of the 4-grams repeated, a piece up to 3 times in a row, 0% of the samples degenerate"
    )


def test_metrics_are_always_written_and_only_once(tmp_path: Path) -> None:
    records = Records(("jsonl",), World(), tmp_path, 1000, {})
    for record in (TRAIN, EVAL, SAMPLE):
        records.log(record)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [TRAIN, EVAL]
    assert [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()] == [SAMPLE]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    records = Records(("console", "tensorboard"), World(rank=1, size=2), tmp_path, 1000, {})
    records.log(TRAIN)
    Events(tmp_path, World(rank=1, size=2)).write("start")
    records.close()
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_written_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    (tmp_path / "events.jsonl").mkdir()
    Records((), World(), tmp_path, 1000, {}).log(TRAIN)
    Events(tmp_path, World()).write("start")
    assert capsys.readouterr().err.count("a record was lost") == 2


def test_numbers_get_flat_names() -> None:
    assert flat_numbers(EVAL)["eval/books/perplexity"] == 20.0855
    numbers = flat_numbers(TRAIN)
    assert numbers["train/loss"] == 3.25
    assert "train/step" not in numbers


def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = plugin.load("jp_llm.train.loggers", "tensorboard")(run_dir=tmp_path, num_steps=1000, config={})
    for record in (TRAIN, EVAL, SAMPLE):
        logger.log(record)
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (loss,) = events.Scalars("train/loss")
    assert (loss.step, loss.value) == (12, 3.25)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_works_offline_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = plugin.load("jp_llm.train.loggers", "wandb")(run_dir=tmp_path / "run", num_steps=9, config={"seed": 1})
    for record in (TRAIN, EVAL, SAMPLE):
        logger.log(record)
    logger.close()
    assert list((tmp_path / "run").glob("wandb/offline-run-*/*.wandb"))
