"""Fine-tuning: it begins with the weights of another model, on any layout, and needs that model only once."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Processes
from tiny import run_config, write_dataset

from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.config.build import build as build_config
from jp_llm.config.run import RunConfig
from jp_llm.export.config import ExportConfig
from jp_llm.export.run import run as run_export
from jp_llm.guard.interventions import Intervention
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import read_json_lines
from jp_llm.train.build import build
from jp_llm.train.loop import fit
from jp_llm.train.preflight import check
from jp_llm.train.rewind import stand

KINDS = ("weight", "exp_avg", "exp_avg_sq")
LAST = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


def config_of(values: dict[str, Any], *, with_model: bool = False) -> RunConfig:
    """As a door builds it: the model section follows from `init_from`."""
    tree = run_config(checkpoint__every_steps=3, checkpoint__keep_last=9, **values).model_dump(mode="json")
    if not with_model:
        del tree["model"]
    return build_config(RunConfig, tree)


def train(values: dict[str, Any], with_model: bool = False) -> str:
    try:
        with ExitStack() as stack:
            fit(build(check(config_of(values, with_model=with_model)), torch.device("cpu"), stack))
    except UserError as error:
        return f"{error.code}: {error}"
    return "done"


def beginning(values: dict[str, Any]) -> tuple[dict[str, torch.Tensor], bool, int]:
    """Weights of step 0, whether every moment is zero, and the updates that the optimizer has counted."""
    with ExitStack() as stack:
        run = build(check(config_of(values)), torch.device("cpu"), stack)
        state = [(piece, {kind: part.clone() for kind, part in parts.items()}) for piece, parts in run.engine.state()]
        weights = {piece.part.name: parts["weight"].view(piece.part.shape) for piece, parts in state}
        are_zero = all(not parts[kind].any() for _, parts in state for kind in KINDS[1:])
        assert run.state.as_dict() == dict.fromkeys(run.state.as_dict(), 0)
        return weights, are_zero, run.engine.zero.applied_updates


def losses(run_dir: Path) -> torch.Tensor:
    records = read_json_lines(run_dir / "metrics.jsonl")
    by_step = {record["step"]: record["loss"] for record in records if record["kind"] == "train"}
    return torch.tensor([by_step[step] for step in range(1, LAST + 1)], dtype=torch.float64)


def state(run_dir: Path, step: int = LAST) -> dict[tuple[str, str], torch.Tensor]:
    reader = CheckpointReader(CheckpointStore(run_dir).path(step))
    return {(name, kind): reader.read(name, kind) for name in reader.names for kind in KINDS}


def events(run_dir: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_json_lines(run_dir / "events.jsonl") if event["event"] == name]


@pytest.fixture(scope="module")
def pretrained(data: Path, tmp_path_factory: pytest.TempPathFactory, one_process: Processes) -> Path:
    """A run folder of six steps."""
    run_dir = tmp_path_factory.mktemp("pretrained") / "run"
    values = {"run_dir": str(run_dir), "data__path": str(data), "model__vocab_size": None}
    assert one_process.run(train, values, True) == ["done"]
    return run_dir


def values_of(pretrained: Path, data: Path, run_dir: Path, **more: Any) -> dict[str, Any]:
    return {"init_from": str(pretrained), "data__path": str(data), "run_dir": str(run_dir), **more}


@pytest.fixture(scope="module")
def tuned(pretrained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory, one_process: Processes) -> Path:
    """Six steps of fine-tuning on one process."""
    run_dir = tmp_path_factory.mktemp("tuned") / "run"
    values = values_of(pretrained, data, run_dir, seed=8)
    assert one_process.run(train, values) == ["done"]
    return run_dir


@pytest.mark.distributed
def test_a_run_begins_with_the_weights_and_with_nothing_else(
    pretrained: Path, data: Path, tmp_path: Path, one_process: Processes
) -> None:
    [(weights, are_zero, updates)] = one_process.run(beginning, values_of(pretrained, data, tmp_path))
    expected = CheckpointReader(CheckpointStore(pretrained).path(LAST))
    assert set(weights) == set(expected.names)
    for name, values in weights.items():
        assert torch.equal(values, expected.read(name)), name
    assert are_zero
    assert updates == 0
    assert expected.read(expected.names[0], "exp_avg").any()
    assert not CheckpointStore(tmp_path).steps()


@pytest.mark.distributed
def test_it_warms_up_again_and_says_what_it_began_with(tuned: Path, pretrained: Path) -> None:
    first = read_json_lines(tuned / "metrics.jsonl")[0]
    assert (first["step"], first["consumed_tokens"]) == (1, 8 * 16)
    # One step of warm-up, then a cosine.
    assert first["learning_rate"] == pytest.approx(1e-2)
    [event] = events(tuned, "init")
    source = CheckpointStore(pretrained).path(LAST)
    assert (event["kind"], event["source"], event["init_from"]) == ("checkpoint", str(source), str(pretrained))
    assert list(event["sha256"]) == ["manifest.json"]
    # The model card of what is exported names it.
    origin = CheckpointReader(CheckpointStore(tuned).path(LAST)).manifest.origin
    assert origin == {"name": pretrained.name, "license": None, "files_sha256": event["sha256"]}
    # Its loss goes on where that of the model stood.
    assert losses(tuned)[0] < losses(pretrained)[1]


@pytest.mark.distributed
def test_every_layout_learns_what_one_process_learns(
    tuned: Path, pretrained: Path, data: Path, tmp_path: Path, four_processes: Processes
) -> None:
    more = {"seed": 8, "parallel__zero_stage": 3, "parallel__tensor": 2}
    values = values_of(pretrained, data, tmp_path / "divided", **more)
    assert four_processes.run(train, values) == ["done"] * 4
    torch.testing.assert_close(losses(tmp_path / "divided"), losses(tuned), rtol=1e-6, atol=0)
    expected = state(tuned)
    for key, found in state(tmp_path / "divided").items():
        torch.testing.assert_close(found, expected[key], atol=1e-5, rtol=1e-4, msg=str(key))


@pytest.mark.distributed
def test_an_exported_folder_gives_what_its_checkpoint_gives_bit_for_bit(
    tuned: Path, pretrained: Path, data: Path, tmp_path: Path, one_process: Processes
) -> None:
    folder = tmp_path / "exported"
    run_export(ExportConfig(checkpoint=str(pretrained), output_dir=str(folder), dtype="fp32", verify="structure"))
    values = values_of(folder, data, tmp_path / "run", seed=8)
    assert one_process.run(train, values) == ["done"]
    assert torch.equal(losses(tmp_path / "run"), losses(tuned))
    expected, rows = state(tuned), CheckpointReader(CheckpointStore(tuned).path(LAST)).manifest.config["model"]
    for (name, kind), found in state(tmp_path / "run").items():
        wanted = expected[name, kind]
        if name in ("embedding.weight", "head.weight"):
            # What lies behind the vocabulary is in no exported folder, and never used.
            found, wanted = found[: rows["vocab_size"]], wanted[: rows["vocab_size"]]
        assert torch.equal(found, wanted), (name, kind)
    [event] = events(tmp_path / "run", "init")
    assert event["kind"] == "huggingface"
    assert sorted(event["sha256"]) == ["config.json", "model.safetensors"]
    origin = CheckpointReader(CheckpointStore(tmp_path / "run").path(LAST)).manifest.origin
    assert (origin["name"], origin["class"]) == ("exported", "LlamaForCausalLM")


@pytest.mark.distributed
def test_a_repeated_command_needs_the_beginning_no_more(
    tuned: Path, pretrained: Path, data: Path, tmp_path: Path, one_process: Processes
) -> None:
    # A notebook comes back: the run folder is mounted elsewhere, and what it began with is gone.
    there = tmp_path / "other mount" / "run"
    shutil.copytree(tuned, there)
    shutil.rmtree(CheckpointStore(there).path(LAST))
    shutil.rmtree(there / "heartbeats", ignore_errors=True)
    values = values_of(tmp_path / "gone", data, there, seed=8)
    assert one_process.run(train, values) == ["done"]
    assert torch.equal(losses(there), losses(tuned))
    expected = state(tuned)
    for key, found in state(there).items():
        assert torch.equal(found, expected[key]), key
    assert len(events(there, "init")) == 1
    assert CheckpointReader(CheckpointStore(there).path(LAST)).manifest.origin["name"] == pretrained.name


@pytest.mark.distributed
def test_another_model_in_the_folder_of_a_run_is_refused(
    tuned: Path, pretrained: Path, data: Path, tmp_path: Path, one_process: Processes
) -> None:
    same = tmp_path / "mounted elsewhere"
    shutil.copytree(CheckpointStore(pretrained).path(LAST), same)
    values = values_of(same, data, tuned, seed=8)
    assert one_process.run(train, values) == ["done"]
    other = CheckpointStore(tuned).path(3)
    [said] = one_process.run(train, values | {"init_from": str(other)})
    assert said.startswith(f"{ExitCode.PREFLIGHT_REFUSED}: init_from: {other} is not the model that {tuned} began with")


@pytest.mark.distributed
def test_damage_is_found_before_anything_is_trained(
    pretrained: Path, data: Path, tmp_path: Path, one_process: Processes
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(CheckpointStore(pretrained).path(LAST), copy)
    weights = next(copy.glob("fragments/*"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    [said] = one_process.run(train, values_of(copy, data, tmp_path / "run"))
    assert said.startswith(f"{ExitCode.PREFLIGHT_REFUSED}: init_from: {weights}: sha256 differs")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_data_of_another_tokenizer_is_refused_with_the_command_that_helps(pretrained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dataset(other, sources=("poems",))
    said = _refused(values_of(pretrained, other, tmp_path / "run"))
    assert f"data.path: {other} was encoded with tokenizer " in said
    assert f"launch/preprocess.py corpus=... tokenizer.path={pretrained}" in said


@pytest.mark.distributed
def test_the_folder_of_a_run_that_began_with_random_weights_is_refused(pretrained: Path, data: Path) -> None:
    said = _refused(values_of(CheckpointStore(pretrained).path(3), data, pretrained))
    assert f"init_from: {pretrained} holds a run that began with random weights" in said


def _refused(values: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        check(config_of(values))
    assert caught.value.code == ExitCode.PREFLIGHT_REFUSED
    return str(caught.value)


def going_back(values: dict[str, Any], exchanged: str) -> str:
    """A rewind to step 0, behind which the same weights must stand again; then those of another place."""
    config = config_of(values)
    with ExitStack() as stack:
        run = build(check(config), torch.device("cpu"), stack)
        before = [parts["weight"].clone() for _, parts in run.engine.state()]
        for _, parts in run.engine.state():
            parts["weight"].add_(1)
        record = Intervention(
            step=2, first_outlier_step=2, to_step=0, from_sample=0, to_sample=8, loss=9.0, median=1.0, sigma=0.1,
            host="here", time=0.0,
        )  # fmt: skip
        run.guard.interventions.add(record)
        stand(run.saver, run.engine, run.guard)
        assert all(
            torch.equal(parts["weight"], old) for (_, parts), old in zip(run.engine.state(), before, strict=True)
        )
        moved = run.preflight.config.model_copy(update={"init_from": exchanged})
        object.__setattr__(run.preflight, "config", moved)
        try:
            stand(run.saver, run.engine, run.guard)
        except UserError as error:
            return str(error)
        return "done"


@pytest.mark.distributed
def test_a_rewind_to_the_beginning_finds_the_same_weights_or_says_so(
    pretrained: Path, data: Path, tmp_path: Path, one_process: Processes
) -> None:
    values = values_of(pretrained, data, tmp_path / "run")
    [said] = one_process.run(going_back, values, str(CheckpointStore(pretrained).path(3)))
    assert "holds other weights than those that this run began with" in said
