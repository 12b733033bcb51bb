"""Saving beside training, and finding the newest good checkpoint, without any training."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from gloo import Processes
from tiny import run_config, write_dataset
from torch import Tensor

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.checkpoint.format import KINDS, MANIFEST, FileRecord, read_manifest
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import LATEST, CheckpointStore
from jp_llm.config.run import RunConfig
from jp_llm.parallel.slices import Piece, whole_slice
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fingerprint_of, read_json_lines
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.train.preflight import check
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


class HeldState:
    """What a saver asks of an engine: every process holds an equal part of every parameter, filled with one number."""

    def __init__(self, config: RunConfig) -> None:
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self.pieces = []
        for name, shape in parameter_shapes(config.model).items():
            part = whole_slice(name, shape)
            cuts = (part.numel * rank // size, part.numel * (rank + 1) // size)
            self.pieces.append((Piece(part, *cuts), {kind: torch.zeros(cuts[1] - cuts[0]) for kind in KINDS}))

    def fill(self, value: float) -> None:
        for _, state in self.pieces:
            for tensor in state.values():
                tensor.fill_(value)

    def owned_state(self) -> Iterator[tuple[Piece, dict[str, Tensor]]]:
        yield from self.pieces


class Session:
    """A saver with its state; `gate` holds back what its thread writes, `full` makes the disk of this process full."""

    def __init__(self, run_dir: Path, data: Path, **overrides: Any) -> None:
        import jp_llm.checkpoint.writer as writer

        preflight = check(run_config(run_dir=str(run_dir), data__path=str(data), **overrides))
        self.engine: Any = HeldState(preflight.config)
        self.saver = Saver(preflight)
        self.saver.reserve(self.engine)
        self.gate, self.full = threading.Event(), False
        self.gate.set()
        self.writer, self.original = writer, writer.write_tensors

        def gated(*arguments: Any) -> FileRecord:
            self.gate.wait()
            if self.full:
                raise OSError(28, "No space left on device")
            return self.original(*arguments)

        writer.write_tensors = gated

    def save(self, step: int, *, final: bool = False) -> None:
        self.engine.fill(step)
        self.saver.save(self.engine, TrainState(step=step, consumed_samples=8 * step), final=final)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.saver.close()
        self.writer.write_tensors = self.original


def stored_value(folder: Path) -> float:
    """The one number that fills a checkpoint."""
    reader = CheckpointReader(folder)
    (value,) = {v for name in reader.names for kind in KINDS for v in reader.read(name, kind).unique().tolist()}
    return float(value)


def events(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_json_lines(run_dir / "events.jsonl") if event["event"] == kind]


def save_while_the_state_changes(run_dir: Path, data: Path) -> list[Any]:
    with Session(run_dir, data) as session:
        session.gate.clear()
        session.save(3)
        # The thread stands in the middle of its save. Training goes on, with collectives of its own.
        session.engine.fill(-1)
        total = torch.ones(1)
        torch.distributed.all_reduce(total)
        during = sorted(path.name for path in session.saver.store.folder.glob("step_*"))
        session.saver.report()
        session.gate.set()
        session.saver.finish()
        return [total.item(), during, session.saver.store.steps()]


@pytest.mark.distributed
def test_a_save_holds_the_state_at_its_call_however_long_it_takes(
    data: Path, tmp_path: Path, two_processes: Processes
) -> None:
    assert two_processes.run(save_while_the_state_changes, tmp_path, data) == [[2.0, [], [3]]] * 2
    folder = CheckpointStore(tmp_path).path(3)
    assert stored_value(folder) == 3.0
    assert (folder.parent / LATEST).read_text() == "step_00000003\n"
    (save,) = events(tmp_path, "save")
    assert 0 < save["stall_seconds"] < save["seconds"]


def save_again_before_the_first_has_ended(run_dir: Path, data: Path) -> list[int]:
    with Session(run_dir, data) as session:
        session.gate.clear()
        session.save(1)
        threading.Timer(0.3, session.gate.set).start()
        session.save(2)
        # The first one is complete before the second begins.
        found = session.saver.store.steps()
        session.saver.finish()
        session.save(3, final=True)
        assert session.saver.store.steps()[-1] == 3
    return found[:1]


@pytest.mark.distributed
def test_at_most_one_save_is_under_way(data: Path, tmp_path: Path, two_processes: Processes) -> None:
    assert two_processes.run(save_again_before_the_first_has_ended, tmp_path, data) == [[1]] * 2
    store = CheckpointStore(tmp_path)
    # The first one stays as the one that a rewind would go back to.
    assert store.steps() == [1, 2, 3]
    assert [stored_value(store.path(step)) for step in (2, 3)] == [2.0, 3.0]
    stalls = [event["stall_seconds"] for event in events(tmp_path, "save")]
    assert stalls[1] > 0.2 > stalls[0]


def save_without_a_thread_beside(run_dir: Path, data: Path) -> list[int]:
    with Session(run_dir, data, checkpoint__asynchronous=False) as session:
        threading.Timer(0.3, session.gate.set).start()
        session.gate.clear()
        session.save(1)
        return session.saver.store.steps()


@pytest.mark.distributed
def test_a_synchronous_save_is_there_when_it_returns(data: Path, tmp_path: Path, two_processes: Processes) -> None:
    assert two_processes.run(save_without_a_thread_beside, tmp_path, data) == [[1]] * 2
    assert stored_value(CheckpointStore(tmp_path).path(1)) == 1.0
    (save,) = events(tmp_path, "save")
    assert save["stall_seconds"] == pytest.approx(save["seconds"], abs=0.05)
    assert save["stall_seconds"] > 0.2


def fail_while_a_save_is_under_way(run_dir: Path, data: Path) -> list[int]:
    store = CheckpointStore(run_dir)
    try:
        with Session(run_dir, data) as session:
            session.gate.clear()
            session.save(1)
            raise RuntimeError("training failed")
    except RuntimeError:
        return store.steps()


@pytest.mark.distributed
def test_a_save_that_is_under_way_ends_where_training_fails(
    data: Path, tmp_path: Path, two_processes: Processes
) -> None:
    assert two_processes.run(fail_while_a_save_is_under_way, tmp_path, data) == [[1]] * 2
    assert [event["step"] for event in events(tmp_path, "save")] == [1]


def save_on_a_full_disk(run_dir: Path, data: Path) -> list[Any]:
    with Session(run_dir, data) as session:
        session.save(1)
        session.saver.finish()
        session.full = torch.distributed.get_rank() == 1
        session.save(2)
        while session.saver.report():
            time.sleep(0.01)
        known = len(events(run_dir, "save_failed"))
        try:
            session.save(3, final=True)
        except UserError as error:
            return [known, str(error)]
    return ["saved"]


@pytest.mark.distributed
def test_a_failure_is_reported_on_every_process_and_the_final_save_must_succeed(
    data: Path, tmp_path: Path, two_processes: Processes
) -> None:
    first, second = two_processes.run(save_on_a_full_disk, tmp_path, data)
    assert first[0] == 1
    assert first[1] == second[1]
    assert "checkpoint of step 3 could not be written" in first[1]
    assert "No space left on device" in first[1]
    assert "run the same command again" in first[1]
    assert [event["step"] for event in events(tmp_path, "save_failed")] == [2, 3]
    store = CheckpointStore(tmp_path)
    assert sorted(entry.name for entry in store.folder.iterdir()) == [LATEST, "step_00000001"]


@pytest.fixture(scope="module")
def saved(data: Path, tmp_path_factory: pytest.TempPathFactory, two_processes: Processes) -> Path:
    """A run folder with checkpoints of steps 1 and 2, of two processes."""
    run_dir = tmp_path_factory.mktemp("saved")
    two_processes.run(save_two, run_dir, data)
    return run_dir


def save_two(run_dir: Path, data: Path) -> None:
    with Session(run_dir, data, parallel__zero_stage=3) as session:
        session.save(1)
        session.save(2, final=True)


@pytest.mark.distributed
def test_what_a_checkpoint_says_of_its_run(data: Path, saved: Path) -> None:
    manifest = read_manifest(CheckpointStore(saved).path(2))
    assert manifest.state["step"] == 2
    assert manifest.state["consumed_samples"] == 16
    assert manifest.seed == manifest.config["seed"] == 7
    assert manifest.layout == {"world_size": 2, "tensor": 1, "pipeline": 1, "data": 2, "zero_stage": 3}
    assert manifest.config_sha256 == fingerprint_of(manifest.config)
    preflight = check(run_config(data__path=str(data)))
    assert manifest.tokenizer_fingerprint == preflight.tokenizer.fingerprint
    assert manifest.data_fingerprint == preflight.train_data.fingerprint
    assert manifest.datasets == {str(data): DatasetManifest.load(data).fingerprint}
    assert manifest.parameters == parameter_shapes(preflight.config.model)


def newest_good(copies: list[Path], data: Path) -> list[Any]:
    """For each run folder the checkpoint that a restart would take, or the problem."""
    found = []
    for run_dir in copies:
        saver = Saver(check(run_config(run_dir=str(run_dir), data__path=str(data))))
        try:
            folder, bad = saver._newest_good()
            if folder is not None and saver.preflight.world.is_main:
                saver._tidy(bad, read_manifest(folder).state["step"])
            found.append(folder and (folder.name, stored_value(folder)))
        except UserError as error:
            found.append(str(error))
        saver.close()
    return found


def harm(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 4
        path.write_bytes(content)


HARMS = ("truncate", "flip", "delete")


@pytest.mark.distributed
def test_any_damage_to_any_file_is_named_and_the_checkpoint_before_it_used(
    data: Path, saved: Path, tmp_path: Path, two_processes: Processes
) -> None:
    newest = CheckpointStore(saved).path(2)
    files = sorted(path.relative_to(newest) for path in newest.rglob("*") if path.is_file())
    # Manifest and its hash, two fragment files, the tokenizer's model and manifest.
    assert len(files) == 6
    cases = {}
    for relative in files:
        for how in HARMS:
            run_dir = tmp_path / f"{relative.name}_{how}"
            shutil.copytree(saved, run_dir)
            (run_dir / "events.jsonl").unlink()
            cases[run_dir] = CheckpointStore(run_dir).path(2) / relative
            harm(cases[run_dir], how)
    answers = two_processes.run(newest_good, list(cases), data)
    assert answers == [[("step_00000001", 1.0)] * len(cases)] * 2
    for run_dir, path in cases.items():
        (event,) = events(run_dir, "damaged_checkpoint")
        assert any(str(path) in problem for problem in event["problems"]), event
        assert len(event["problems"]) == 1
        folder = CheckpointStore(run_dir).folder
        assert sorted(entry.name for entry in folder.iterdir()) == ["damaged_step_00000002", LATEST, "step_00000001"]
        assert (folder / LATEST).read_text() == "step_00000001\n"


@pytest.mark.distributed
def test_any_damage_to_latest_is_said_mended_and_costs_nothing(
    data: Path, saved: Path, tmp_path: Path, two_processes: Processes
) -> None:
    copies = [tmp_path / how for how in HARMS]
    for run_dir in copies:
        shutil.copytree(saved, run_dir)
        harm(run_dir / "checkpoints" / LATEST, run_dir.name)
    assert two_processes.run(newest_good, copies, data) == [[("step_00000002", 2.0)] * 3] * 2
    for run_dir in copies:
        path = run_dir / "checkpoints" / LATEST
        (event,) = events(run_dir, "wrong_latest")
        assert str(path) in event["problem"]
        assert path.read_text() == "step_00000002\n"


@pytest.mark.distributed
def test_without_a_good_checkpoint_every_bad_file_is_named_and_nothing_is_moved(
    data: Path, saved: Path, tmp_path: Path, two_processes: Processes
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(saved, run_dir)
    store = CheckpointStore(run_dir)
    bad = [store.path(1) / "fragments" / "rank_00001.safetensors", store.path(2) / MANIFEST]
    for path in bad:
        harm(path, "flip")
    before = sorted(entry.name for entry in store.folder.iterdir())
    (first,), (second,) = two_processes.run(newest_good, [run_dir], data)
    assert first == second
    assert all(str(path) in first for path in bad)
    assert "no checkpoint is whole" in first
    assert sorted(entry.name for entry in store.folder.iterdir()) == before


def restore_in_own_folder(folder: Path, data: Path) -> str:
    run_dir = folder / str(torch.distributed.get_rank())
    saver = Saver(check(run_config(run_dir=str(run_dir), data__path=str(data))))
    try:
        saver._require_one_folder()
    except UserError as error:
        return str(error)
    finally:
        saver.close()
    return "one folder"


@pytest.mark.distributed
def test_a_run_folder_that_is_not_shared_is_refused_at_the_start(
    data: Path, tmp_path: Path, two_processes: Processes
) -> None:
    for message in two_processes.run(restore_in_own_folder, tmp_path, data):
        assert "not the same folder for all processes (process 1 on" in message
    assert not list(tmp_path.rglob(".shared_*"))
