"""The same door under every launcher, from the command line to a checkpoint."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_dataset

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.errors import ExitCode

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
OVERRIDES = [
    "model/size=nano",
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.max_position_embeddings=16",
    "train.num_steps=2",
    "train.global_batch_size=4",
    "train.micro_batch_size=2",
    "train.precision=fp32",
    "train.sample_every_steps=0",
    "train.device=cpu",
    "optim.warmup_steps=1",
    "parallel.zero_stage=3",
]
LAUNCHERS = {
    "python": [sys.executable],
    "torchrun": [str(BIN / "torchrun"), "--nproc_per_node", "2", "--master_port"],
    "deepspeed": [str(BIN / "deepspeed"), "--num_gpus", "2", "--master_port"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, sources=("books",))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def launch(launcher: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    port = [] if launcher == "python" else [str(free_port())]
    command = [*LAUNCHERS[launcher], *port, "launch/train.py", *OVERRIDES, *overrides]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.distributed
@pytest.mark.parametrize("launcher", list(LAUNCHERS))
def test_a_run_from_the_command_line(launcher: str, data: Path, tmp_path: Path) -> None:
    # A folder name with a space and a dollar sign must arrive as it is.
    run_dir = tmp_path / "run $HOME 1"
    result = launch(launcher, f"data.path={data}", f"run_dir='{run_dir}'")
    assert result.returncode == 0, result.stderr
    processes = 1 if launcher == "python" else 2
    assert f"layout  {processes} processes = tensor 1 x data {processes} x pipeline 1" in result.stdout
    assert CheckpointStore(run_dir).steps() == [2]


@pytest.mark.distributed
def test_a_wrong_key_is_reported_once_and_ends_the_launcher(data: Path) -> None:
    result = launch("torchrun", f"data.path={data}", "train.num_stepz=3")
    assert result.returncode != 0
    assert result.stderr.count("did you mean train.num_steps?") == 1


@pytest.mark.distributed
def test_a_run_without_a_good_checkpoint_stops_with_words_and_its_exit_code(data: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    overrides = (f"data.path={data}", f"run_dir={run_dir}", "checkpoint.every_steps=1")
    assert launch("python", *overrides).returncode == 0
    store = CheckpointStore(run_dir)
    assert store.steps() == [1, 2]
    fragments = [store.path(step) / "fragments" / "rank_00000.safetensors" for step in store.steps()]

    fragments[1].write_bytes(fragments[1].read_bytes()[:-1])
    result = launch("python", *overrides)
    assert result.returncode == 0
    assert f"damaged checkpoint moved to {store.folder / 'damaged_step_00000002'} ({fragments[1]}: " in result.stderr
    assert "start  step 1 of 2" in result.stdout

    for path in fragments:
        path.unlink()
    result = launch("python", *overrides)
    assert result.returncode == ExitCode.PREFLIGHT_REFUSED == 3
    for path in fragments:
        assert f"error: {path}: missing" in result.stderr
    assert "no checkpoint is whole" in result.stderr
    assert "Traceback" not in result.stderr
