"""Real trainings of two processes under the supervisor: killed, signalled, stopped by hand, started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ports import free_port
from tiny import TINY_WORDS, write_dataset

from jp_llm.checkpoint.format import KINDS, damage, read_manifest
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.files import read_json, read_json_lines

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
NUM_STEPS = 12
WORDS = [
    *TINY_WORDS,
    "parallel.zero_stage=1",
    "checkpoint.every_steps=5",
    "checkpoint.keep_last=9",
    "supervise.backoff_seconds=0.1",
    "watchdog.beat_seconds=0.2",
]
PLAIN = [sys.executable, "tests/helpers/plain_launcher.py", "2"]

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, sources=("books",))
    return folder


class Training:
    """Starts of one run."""

    def __init__(self, run_dir: Path, data: Path) -> None:
        self.run_dir = run_dir
        self.words = [*WORDS, f"data.path={data}", f"run_dir={run_dir}"]

    def start(
        self, *more: str, fault: str = "", launcher: list[str] = PLAIN, steps: int = NUM_STEPS, supervised: bool = True
    ) -> subprocess.Popen[str]:
        script = "tests/helpers/faulty_train.py" if fault else "launch/train.py"
        front = [sys.executable, "launch/supervise.py"] if supervised else []
        command = [*front, *launcher, script, *self.words, f"train.num_steps={steps}", *more]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "FAULT": fault}
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID"):
            environment.pop(name, None)
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *more: str, **keywords: Any) -> tuple[int, str]:
        return ended(self.start(*more, **keywords))

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        path = self.run_dir / "events.jsonl"
        return [event for event in read_json_lines(path) if event["event"] in kinds] if path.exists() else []

    def weights(self, step: int = NUM_STEPS) -> dict[tuple[str, str], torch.Tensor]:
        reader = CheckpointReader(CheckpointStore(self.run_dir).path(step))
        return {(name, kind): reader.read(name, kind) for name in reader.names for kind in KINDS}

    def wait_for(self, happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while not happened():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=200)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, output


def assert_equal(run: Training, expected: dict[tuple[str, str], torch.Tensor]) -> None:
    found = run.weights()
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert torch.equal(found[key], values), key


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], torch.Tensor]:
    run = Training(tmp_path_factory.mktemp("undisturbed") / "run", data)
    code, output = run.run(supervised=False)
    assert code == 0, output
    assert read_json(run.run_dir / "status.json")["state"] == "done"
    assert read_json(run.run_dir / "DONE")["step"] == NUM_STEPS
    return run.weights()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "plain"])
def test_a_killed_process_costs_a_restart_and_not_a_bit(
    launcher: str, data: Path, tmp_path: Path, undisturbed: dict[tuple[str, str], torch.Tensor]
) -> None:
    run = Training(tmp_path / "run", data)
    torchrun = [str(BIN / "torchrun"), "--nproc_per_node", "2", "--master_port", str(free_port())]
    code, output = run.run(fault="kill rank=1 step=8", launcher=PLAIN if launcher == "plain" else torchrun)
    assert code == 0, output
    assert_equal(run, undisturbed)
    first, second = run.events("attempt_end")
    assert (first["cause"], first["step"], second["cause"]) == (1, 8, 0)
    # torchrun says 1 for everything; the plain launcher says what it saw.
    assert first["code"] in ((1,) if launcher == "torchrun" else (1, 137))
    assert "restart 1 of at most 50" in output


@pytest.mark.slow
def test_a_signal_to_one_process_saves_one_step_of_all_and_the_same_command_goes_on(
    data: Path, tmp_path: Path, undisturbed: dict[tuple[str, str], torch.Tensor]
) -> None:
    run = Training(tmp_path / "run", data)
    code, output = run.run(fault="send name=USR2 rank=1 step=7")
    assert code == 85, output
    status = read_json(run.run_dir / "status.json")
    # Python may run the line after kill(2) first: then the next step hears of it.
    assert status["step"] in (7, 8)
    assert (status["state"], status["code"], status["reason"]) == ("saved", 85, "signal to process 1")
    assert CheckpointStore(run.run_dir).steps()[-1] == status["step"]
    assert read_manifest(CheckpointStore(run.run_dir).path(status["step"])).state["step"] == status["step"]
    (order,) = run.events("order")
    assert (order["step"], order["reason"], order["stop"]) == (status["step"], "signal to process 1", True)
    assert [event["code"] for event in run.events("exit")] == [85]
    assert not (run.run_dir / "DONE").exists()

    code, output = run.run()
    assert code == 0, output
    assert run.events("resume")[0]["step"] == status["step"]
    assert_equal(run, undisturbed)


@pytest.mark.slow
def test_a_save_that_is_under_way_when_a_signal_comes_is_completed(data: Path, tmp_path: Path) -> None:
    run = Training(tmp_path / "run", data)
    code, output = run.run(fault="send_in_save name=TERM rank=1 step=5", steps=5000)
    assert code == 85, output
    stopped = read_json(run.run_dir / "status.json")["step"]
    assert 5 <= stopped < 5000
    store = CheckpointStore(run.run_dir)
    assert store.steps()[0] == 5
    assert store.steps()[-1] == stopped
    for step in store.steps():
        assert damage(store.path(step), read_manifest(store.path(step))) == []
    assert not list(store.folder.glob(".*.tmp"))


@pytest.mark.slow
def test_by_hand_save_kill_and_signals_to_the_supervisor(data: Path, tmp_path: Path) -> None:
    run = Training(tmp_path / "run", data)
    folder = run.run_dir
    words = ("checkpoint.every_steps=100000",)
    process = run.start(*words, steps=100000)
    try:
        run.wait_for(lambda: bool(run.events("start")), process)
        (folder / "SAVE").touch()
        run.wait_for(lambda: bool(run.events("save")), process)
        assert (folder / "SAVE.obeyed").exists()
        assert not (folder / "SAVE").exists()
        assert (run.events("order")[0]["reason"], run.events("order")[0]["stop"]) == ("file SAVE", False)
        assert read_json(folder / "status.json")["state"] == "running"
        (folder / "KILL").touch()
        code, output = ended(process)
        assert code == 85, output
        assert read_json(folder / "status.json")["reason"] == "file KILL"
        assert "(file KILL); the same command continues there" in output
        assert "saved and stopped at step" in output
        saved = CheckpointStore(folder).steps()[-1]
        assert saved == read_json(folder / "status.json")["step"]

        # KILL was obeyed: the next start trains.
        process = run.start(*words, steps=100000)
        run.wait_for(lambda: bool(run.events("resume")), process)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        code, output = ended(process)
        assert code == 85, output
        assert not (folder / "KILL").exists()
        again = CheckpointStore(folder).steps()[-1]
        assert again > saved
    finally:
        process.kill()
        process.communicate()

    # The end, and then further: DONE goes and comes again.
    for more in (1, 2):
        code, output = run.run(*words, steps=again + more)
        assert code == 0, output
        assert read_json(folder / "DONE")["step"] == again + more


@pytest.mark.slow
def test_a_signal_before_the_first_step_is_not_lost(data: Path, tmp_path: Path) -> None:
    run = Training(tmp_path / "run", data)
    # While torch is loading, and to the process alone: no launcher or supervisor in between.
    process = run.start(supervised=False, launcher=[sys.executable])
    listening = 1 << (signal.SIGUSR2 - 1)

    def listens() -> bool:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) & listening)

    run.wait_for(listens, process)
    process.send_signal(signal.SIGUSR2)
    code, output = ended(process)
    assert code == 85, output
    status = read_json(run.run_dir / "status.json")
    assert (status["state"], status["step"]) == ("saved", 0)
    assert CheckpointStore(run.run_dir).steps() == []
    assert run.run(supervised=False, launcher=[sys.executable])[0] == 0


@pytest.mark.slow
def test_a_run_that_dies_twice_at_the_same_step_stops_with_words(data: Path, tmp_path: Path) -> None:
    run = Training(tmp_path / "run", data)
    code, output = run.run(fault="fail rank=1 step=4 always=1")
    assert code == 1
    assert len(run.events("attempt")) == 2
    assert "at step 4: " in output
    assert "(samples 12 to 15); it died 2 times at this step" in output


@pytest.mark.slow
def test_a_refusal_is_known_through_a_launcher_that_says_one_for_everything(data: Path, tmp_path: Path) -> None:
    run = Training(tmp_path / "run", data)
    torchrun = [str(BIN / "torchrun"), "--nproc_per_node", "2", "--master_port", str(free_port())]
    code, output = run.run(f"data.path={tmp_path / 'nowhere'}", launcher=torchrun)
    assert code == 3, output
    assert len(run.events("attempt")) == 1
    assert read_json(run.run_dir / "status.json")["code"] == 3
