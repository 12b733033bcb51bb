"""Whole runs: what they leave behind, and that an interrupted one ends as if it had not been."""

import json
import math
import random
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
from clusters import ideal
from gloo import Processes
from tiny import run_config, write_dataset

from jp_llm.checkpoint.format import FileRecord
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.errors import UserError
from jp_llm.train.build import build
from jp_llm.train.loop import fit
from jp_llm.train.preflight import check

PROMPTS = ("山", "夜の")
KINDS = ("weight", "exp_avg", "exp_avg_sq")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


def train(overrides: dict[str, Any]) -> str:
    """One run inside the process group of the tests; the message of a UserError instead of an exception."""
    values = {"checkpoint__every_steps": 3, "checkpoint__keep_last": 9} | overrides
    try:
        with ExitStack() as stack:
            fit(build(check(run_config(**values)), torch.device("cpu"), stack))
    except UserError as error:
        return str(error)
    return "done"


def train_all(many: list[dict[str, Any]]) -> list[str]:
    return [train(overrides) for overrides in many]


def lines(path: Path, kind: str) -> dict[int, dict[str, Any]]:
    """The last record of each step."""
    records = (json.loads(line) for line in path.read_text().splitlines())
    return {record["step"]: record for record in records if record["kind"] == kind}


def losses(run_dir: Path) -> list[float]:
    return [record["loss"] for _, record in sorted(lines(run_dir / "metrics.jsonl", "train").items())]


def state(run_dir: Path, step: int) -> dict[tuple[str, str], torch.Tensor]:
    reader = CheckpointReader(CheckpointStore(run_dir).path(step))
    return {(name, kind): reader.read(name, kind) for name in reader.names for kind in KINDS}


def fork(source: Path, target: Path) -> Path:
    """A copy of a finished run as it was after step 3."""
    shutil.copytree(source, target)
    shutil.rmtree(CheckpointStore(target).path(6))
    return target


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory, one_process: Processes) -> dict[int, Path]:
    """An undisturbed run of 6 steps per ZeRO stage, on one process."""
    folder = tmp_path_factory.mktemp("finished")
    runs = {stage: folder / f"stage_{stage}" for stage in (0, 1, 2, 3)}
    many = [
        {
            "run_dir": str(run_dir),
            "data__path": str(data),
            "parallel__zero_stage": stage,
            "train__eval_every_steps": 3,
            "train__sample_every_steps": 6,
            "train__sample_tokens": 5,
            "train__sample_prompts": PROMPTS,
        }
        for stage, run_dir in runs.items()
    ]
    assert one_process.run(train_all, many) == [["done"] * 4]
    return runs


@pytest.mark.distributed
def test_a_resumed_run_equals_the_undisturbed_one_bit_for_bit(
    finished: dict[int, Path], data: Path, tmp_path: Path, one_process: Processes
) -> None:
    forks = {stage: fork(run_dir, tmp_path / str(stage)) for stage, run_dir in finished.items()}
    many = [
        {"run_dir": str(run_dir), "data__path": str(data), "parallel__zero_stage": stage}
        for stage, run_dir in forks.items()
    ]
    assert one_process.run(train_all, many) == [["done"] * 4]
    for stage, run_dir in forks.items():
        assert losses(run_dir) == losses(finished[stage])
        expected = state(finished[stage], 6)
        for key, values in state(run_dir, 6).items():
            assert torch.equal(values, expected[key]), (stage, key)


@pytest.mark.distributed
def test_a_run_continues_under_another_stage_and_number_of_processes(
    finished: dict[int, Path], data: Path, tmp_path: Path, two_processes: Processes, one_process: Processes
) -> None:
    pairs = [(0, 3), (1, 0), (2, 1), (3, 2)]
    many = [
        {
            "run_dir": str(fork(finished[old], tmp_path / f"{old}_{new}")),
            "data__path": str(data),
            "parallel__zero_stage": new,
        }
        for old, new in pairs
    ]
    assert two_processes.run(train_all, many) == [["done"] * 4] * 2
    for overrides in many:
        run_dir = Path(overrides["run_dir"])
        torch.testing.assert_close(torch.tensor(losses(run_dir)), torch.tensor(losses(finished[0])), rtol=1e-6, atol=0)
        # And back: what two processes wrote is continued by one.
        shutil.rmtree(CheckpointStore(run_dir).path(6))
    assert one_process.run(train_all, many[:1]) == [["done"]]


@pytest.mark.distributed
def test_what_a_run_leaves_behind(finished: dict[int, Path]) -> None:
    run_dir = finished[1]
    train_records = lines(run_dir / "metrics.jsonl", "train")
    assert sorted(train_records) == [1, 2, 3, 4, 5, 6]
    assert train_records[6]["loss"] < train_records[1]["loss"]
    assert train_records[6]["consumed_tokens"] == 6 * 8 * 16
    assert train_records[1]["learning_rate"] == pytest.approx(1e-2)
    held_out = lines(run_dir / "metrics.jsonl", "eval")
    assert sorted(held_out) == [3, 6]
    assert sorted(held_out[6]["sources"]) == ["all", "books", "web"]
    measures = held_out[6]["sources"]["books"]
    # Kana and kanji take three bytes, digits and newlines one.
    assert 2 < measures["bits_per_character"] / measures["bits_per_byte"] < 3
    samples = [json.loads(line) for line in (run_dir / "samples.jsonl").read_text().splitlines()]
    assert [sample["prompt"] for sample in samples] == list(PROMPTS)
    events = [json.loads(line)["event"] for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert events == ["start", "save", "save", "end"]
    assert "zero_stage: 1" in (run_dir / "config.resolved.yaml").read_text()
    assert CheckpointStore(run_dir).steps() == [3, 6]


@pytest.mark.distributed
def test_held_out_loss_does_not_depend_on_stage_or_processes(
    finished: dict[int, Path], data: Path, tmp_path: Path, two_processes: Processes, one_process: Processes
) -> None:
    expected = lines(finished[3] / "metrics.jsonl", "eval")[6]["sources"]
    for run in finished.values():
        found = lines(run / "metrics.jsonl", "eval")[6]["sources"]
        assert found["all"]["loss"] == pytest.approx(expected["all"]["loss"], rel=1e-5)
    # Two processes cannot share 7 samples evenly.
    overrides = {"data__path": str(data), "train__eval_samples": 7}
    two_processes.run(train, overrides | {"run_dir": str(tmp_path / "two")})
    one_process.run(train, overrides | {"run_dir": str(tmp_path / "one")})
    one, two = (lines(tmp_path / name / "metrics.jsonl", "eval")[6]["sources"]["books"] for name in ("one", "two"))
    assert one["samples"] == two["samples"] == 7
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-6)


@pytest.mark.distributed
def test_a_finished_run_is_left_alone(finished: dict[int, Path], data: Path, one_process: Processes) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished[1].rglob("*.jsonl")}
    assert one_process.run(train, {"run_dir": str(finished[1]), "data__path": str(data)}) == ["done"]
    assert {path: path.stat().st_mtime_ns for path in finished[1].rglob("*.jsonl")} == before


@pytest.mark.distributed
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    finished: dict[int, Path], data: Path, tmp_path: Path, one_process: Processes
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished[1], run_dir)
    store = CheckpointStore(run_dir)
    fragments = store.path(6) / "fragments" / "rank_00000.safetensors"
    fragments.write_bytes(fragments.read_bytes()[:-1])
    overrides = {"run_dir": str(run_dir), "data__path": str(data)}
    assert one_process.run(train, overrides) == ["done"]
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    (damaged,) = [event for event in events if event["event"] == "damaged_checkpoint"]
    assert str(fragments) in damaged["problems"][0]
    assert [event["step"] for event in events if event["event"] == "resume"] == [3]
    assert losses(run_dir) == losses(finished[1])

    # The damaged one has stepped aside, so it cannot push a good one out of what is kept.
    assert (store.folder / "damaged_step_00000006").is_dir()
    assert store.steps() == [3, 6]

    for step in store.steps():
        (store.path(step) / "manifest.json").write_text("{}")
    (message,) = one_process.run(train, overrides)
    assert "no checkpoint is whole" in message


def train_on_a_full_disk(overrides: dict[str, Any]) -> str:
    """From step 4 on no fragment can be written."""
    import jp_llm.checkpoint.writer as writer

    original, saved = writer.write_tensors, []

    def full_after_one(*arguments: Any) -> FileRecord:
        saved.append(1)
        if len(saved) > 1:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    writer.write_tensors = full_after_one
    try:
        return train(overrides)
    finally:
        writer.write_tensors = original


@pytest.mark.distributed
def test_a_full_disk_costs_a_checkpoint_and_only_the_last_one_must_succeed(
    finished: dict[int, Path], data: Path, tmp_path: Path, one_process: Processes
) -> None:
    run_dir = tmp_path / "run"
    overrides = {"run_dir": str(run_dir), "data__path": str(data), "checkpoint__every_steps": 2}
    (message,) = one_process.run(train_on_a_full_disk, overrides)
    assert "checkpoint of step 6 could not be written" in message
    assert "run the same command again" in message
    assert CheckpointStore(run_dir).steps() == [2]
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "save_failed"] == [4, 6]
    assert one_process.run(train, overrides) == ["done"]
    assert losses(run_dir) == losses(finished[1])


@pytest.mark.distributed
def test_a_run_with_everything_on(data: Path, tmp_path: Path, one_process: Processes) -> None:
    """Document mask, z-loss, weights of a part of the sources, compiled blocks, recomputation, a named cluster."""
    overrides = {
        "run_dir": str(tmp_path / "run"),
        "data__path": str(data),
        "data__weights": {"books": 1.0},
        "model__arch": "palm",
        "model__document_mask": True,
        "model__qk_norm": True,
        "optim__z_loss": 1e-3,
        "optim__schedule": "wsd",
        "train__activation_checkpointing": True,
        "cluster": ideal(devices_per_node=1, peak_tflops=1.0, fp32_tflops=1.0).model_dump(),
    }
    assert one_process.run(train, overrides) == ["done"]
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["layout"] == {"tensor": 1, "data": 1, "pipeline": 1, "micro_batches": 4}
    assert 0 < plan["step_seconds"] < 1
    records = lines(tmp_path / "run" / "metrics.jsonl", "train")
    assert records[6]["z_loss"] == pytest.approx(1e-3 * math.log(512) ** 2, rel=0.2)
    assert list(lines(tmp_path / "run" / "metrics.jsonl", "eval")[6]["sources"]) == ["books"]


@pytest.mark.distributed
def test_what_cannot_be_continued_is_refused(
    finished: dict[int, Path], data: Path, tmp_path: Path, one_process: Processes
) -> None:
    same = {"run_dir": str(finished[1]), "data__path": str(data)}
    before = (finished[1] / "config.resolved.yaml").read_text()
    (message,) = one_process.run(train, same | {"model__hidden_size": 64, "seed": 8})
    assert (finished[1] / "config.resolved.yaml").read_text() == before
    assert "model.hidden_size: 64, but" in message
    assert "was trained with 32" in message
    assert "trained on other data, data.weights, seed" in message
    other = tmp_path / "other"
    write_dataset(other, sources=("books",))
    (message,) = one_process.run(train, same | {"data__path": str(other)})
    assert "was trained with tokenizer" in message


def random_states_before_and_after(overrides: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The state of every global random generator, before and after a run."""

    def states() -> tuple[Any, ...]:
        name, keys, *rest = np.random.get_state(legacy=True)
        return torch.get_rng_state().tolist(), name, keys.tolist(), rest, random.getstate()

    with ExitStack() as stack:
        run = build(check(run_config(**overrides)), torch.device("cpu"), stack)
        before = states()
        fit(run)
        return [before, states()]


@pytest.mark.distributed
def test_training_draws_from_no_random_generator_that_a_checkpoint_would_have_to_carry(
    data: Path, tmp_path: Path, one_process: Processes
) -> None:
    overrides = {
        "run_dir": str(tmp_path / "run"),
        "data__path": str(data),
        "train__num_steps": 2,
        "train__sample_every_steps": 1,
        "train__sample_prompts": PROMPTS,
        "train__eval_every_steps": 1,
        "train__activation_checkpointing": True,
    }
    ((before, after),) = one_process.run(random_states_before_and_after, overrides)
    assert before == after


def preflight_problems(**overrides: Any) -> str:
    with pytest.raises(UserError) as caught:
        check(run_config(**overrides))
    return str(caught.value)


def test_preflight_names_what_is_wrong(data: Path, tmp_path: Path) -> None:
    assert "no such file" in preflight_problems(data__path=str(tmp_path))
    many = preflight_problems(
        data__path=str(data),
        data__weights={"wep": 1.0},
        train__global_batch_size=7,
        train__sample_every_steps=1,
        train__sample_prompts=("山" * 400,),
        model__vocab_size=300,
    )
    assert "did you mean 'web'" in many
    assert "the nearest is 8" in many
    assert "tokens, the context holds 16" in many
    assert "leave it null" in many
    too_long = {"model__max_position_embeddings": 10**6, "data__path": str(data)}
    assert "add text to it" in preflight_problems(**too_long)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    shard = copy / "shards" / "web" / "train-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    assert str(shard) in preflight_problems(data__path=str(copy))


def test_another_tokenizer_than_that_of_the_shards_is_refused(data: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy", tmp_path / "other"
    shutil.copytree(data, copy)
    write_dataset(other, sources=("books",))
    shutil.rmtree(copy / "tokenizer")
    shutil.copytree(other / "tokenizer", copy / "tokenizer")
    message = preflight_problems(data__path=str(copy))
    assert "the shards were made with tokenizer" in message
    assert "launch/preprocess.py" in message
