"""Whole runs: what they leave behind, and that an interrupted one ends as if it had not been."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from gloo import Processes
from tiny import run_config, write_dataset

from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.errors import UserError
from jp_llm.train.build import build
from jp_llm.train.loop import fit
from jp_llm.train.preflight import check

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
    assert [sample["prompt"] for sample in samples] == list(run_config().train.sample_prompts)
    events = [json.loads(line)["event"] for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert events == ["start", "save", "save", "end"]
    assert "zero_stage: 1" in (run_dir / "config.resolved.yaml").read_text()
    assert CheckpointStore(run_dir).steps() == [3, 6]


@pytest.mark.distributed
def test_held_out_loss_does_not_depend_on_stage_or_processes(
    finished: dict[int, Path], data: Path, tmp_path: Path, two_processes: Processes
) -> None:
    # 30 held-out documents give windows that two processes cannot share evenly.
    run_dir = tmp_path / "run"
    two_processes.run(train, {"run_dir": str(run_dir), "data__path": str(data), "train__eval_samples": 7})
    expected = lines(finished[3] / "metrics.jsonl", "eval")[6]["sources"]
    found = lines(run_dir / "metrics.jsonl", "eval")[6]["sources"]
    assert found["books"]["samples"] == 7
    assert expected["books"]["samples"] > 7
    for run in finished.values():
        sources = lines(run / "metrics.jsonl", "eval")[6]["sources"]
        assert sources["all"]["loss"] == pytest.approx(expected["all"]["loss"], rel=1e-5)
    single = tmp_path / "single"
    shutil.copytree(run_dir, single)
    assert found["books"]["loss"] == pytest.approx(expected["books"]["loss"], rel=0.1)


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

    for step in store.steps():
        (store.path(step) / "manifest.json").write_text("{}")
    (message,) = one_process.run(train, overrides)
    assert "no checkpoint is whole" in message


@pytest.mark.distributed
def test_what_cannot_be_continued_is_refused(
    finished: dict[int, Path], data: Path, tmp_path: Path, one_process: Processes
) -> None:
    same = {"run_dir": str(finished[1]), "data__path": str(data)}
    (message,) = one_process.run(train, same | {"model__hidden_size": 64, "seed": 8})
    assert "model.hidden_size: 64, but" in message
    assert "was trained with 32" in message
    assert "trained on other data, data.weights, seed" in message
    other = tmp_path / "other"
    write_dataset(other, sources=("books",))
    (message,) = one_process.run(train, same | {"data__path": str(other)})
    assert "was trained with tokenizer" in message


def preflight_problems(**overrides: Any) -> str:
    with pytest.raises(UserError) as caught:
        check(run_config(**overrides))
    return str(caught.value)


def test_preflight_names_what_is_wrong(data: Path, tmp_path: Path) -> None:
    assert "no such file" in preflight_problems(data__path=str(tmp_path))
    many = preflight_problems(
        data__path=str(data),
        optim__schedule="cosin",
        optim__schedule_options={"minimun": 0.1},
        train__loggers=("consol",),
        train__global_batch_size=7,
    )
    assert "did you mean 'cosine'" in many
    assert "did you mean 'console'" in many
    assert "the nearest is 8" in many
    assert "did you mean 'web'" in preflight_problems(data__path=str(data), data__weights={"wep": 1.0})
    assert "smaller than the tokenizer's" in preflight_problems(data__path=str(data), model__vocab_size=300)
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
