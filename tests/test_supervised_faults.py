"""Faults in trainings of two processes under the supervisor: named, and started again or stopped with words."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_dataset

from jp_llm.checkpoint.format import KINDS
from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
NUM_STEPS = 14
WORDS = [
    "model/size=nano",
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.max_position_embeddings=16",
    f"train.num_steps={NUM_STEPS}",
    "train.global_batch_size=4",
    "train.micro_batch_size=2",
    "train.eval_every_steps=0",
    "train.sample_every_steps=0",
    "train.device=cpu",
    "optim.warmup_steps=1",
    "parallel.zero_stage=1",
    "supervise.backoff_seconds=0.1",
    "watchdog.beat_seconds=0.5",
    "watchdog.silence_seconds=4",
    "watchdog.step_seconds=8",
    "watchdog.grace_seconds=2",
]

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, sources=("books",))
    return folder


def train(run_dir: Path, data: Path, *words: str, fault: str = "", supervised: bool = True, **more: str) -> Any:
    """The end of a run: its exit code and output."""
    front = [sys.executable, "launch/supervise.py"] if supervised else []
    launcher = [sys.executable, "tests/helpers/plain_launcher.py", "2", "tests/helpers/faulty_train.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT)}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [*front, *launcher, *WORDS, f"data.path={data}", f"run_dir={run_dir}", *words],
        cwd=ROOT,
        env=environment | {"FAULT": fault} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=400)
    except BaseException:
        # The supervisor takes its launcher with it, and that its processes.
        process.terminate()
        process.communicate(timeout=60)
        raise
    return process.returncode, output


def events(folder: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_json_lines(folder.events) if event["event"] == kind]


def weights(folder: RunFolder) -> dict[tuple[str, str], torch.Tensor]:
    reader = CheckpointReader(CheckpointStore(folder.path).path(NUM_STEPS))
    return {(name, kind): reader.read(name, kind) for name in reader.names for kind in KINDS}


def line_of(text: str) -> int:
    """Where `text` stands in the script with the faults."""
    lines = (ROOT / "tests/helpers/faulty_train.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_stopped_process_and_one_that_sleeps_cost_two_restarts_and_not_a_bit(data: Path, tmp_path: Path) -> None:
    precise = ("train.precision=fp32", "checkpoint.every_steps=5")
    code, output = train(tmp_path / "undisturbed", data, *precise, supervised=False)
    assert code == 0, output
    assert "watchdog: " not in output

    folder = RunFolder(tmp_path / "run")
    code, output = train(folder.path, data, *precise, fault="stop rank=1 step=7;sleep rank=1 step=12")
    assert code == 0, output
    first, second, third = events(folder, "attempt_end")
    assert (first["cause"], first["host"]) == (ExitCode.HUNG, socket.gethostname())
    # It goes on for some hundredths of a second to have its stacks written, and such small steps with it.
    assert first["step"] in (7, 8, 9)
    assert (second["cause"], second["step"]) == (ExitCode.HUNG, 12)
    assert third["cause"] == ExitCode.DONE
    # From the newest checkpoint, not from the beginning.
    assert [event["step"] for event in events(folder, "resume")] == [5, 10]
    stopped, late = events(folder, "hang")
    assert (stopped["kind"], late["kind"]) == ("stopped", "late")
    for event, ending in ((stopped, first), (late, second)):
        assert [culprit["rank"] for culprit in event["culprits"]] == [1]
        assert ending["reason"].startswith("; ".join(event["words"]))
        for word in event["words"]:
            assert f"watchdog: {word}\n" in output
    # As its last heartbeat before the signal said.
    assert stopped["culprits"][0]["step"] <= 7
    # Where it stood, or where those hundredths of a second have brought it.
    assert stopped["words"][1].startswith("rank 1 stands at ")
    assert "it was stopped by a signal" in (folder.path / stopped["stacks"] / "rank_00001.txt").read_text()
    assert "torch/distributed/" in (folder.path / stopped["stacks"] / "rank_00000.txt").read_text()
    place = f"faulty_train.py:{line_of('time.sleep(float(seconds))')} in sleep_outside_collectives"
    assert re.search(f"rank 1 stands at .*{place}", output)
    assert late["culprits"][0]["step"] == 12

    expected, found = weights(RunFolder(tmp_path / "undisturbed")), weights(folder)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert torch.equal(found[key], values), key


def test_a_flipped_bit_of_one_of_two_copies_stops_the_run_with_words_and_saves_nothing(
    data: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    words = ("train.precision=bf16", "checkpoint.every_steps=1", "guard.replica_check_every_steps=1")
    fault = "flip_bit rank=1 step=4 parameter=mlp_norm.weight"
    code, output = train(folder.path, data, *words, fault=fault, HOSTS="n1 n2")
    assert code == ExitCode.RERUN_ELSEWHERE, output
    (event,) = events(folder, "replica_mismatch")
    assert (event["step"], event["processes"], event["hosts"]) == (4, [0, 1], ["n1", "n2"])
    assert event["tensors"] == ["layers.0.mlp_norm.weight"]
    (ending,) = events(folder, "attempt_end")
    assert (ending["cause"], ending["step"]) == (ExitCode.RERUN_ELSEWHERE, 4)
    (stop,) = [line for line in output.splitlines() if line.startswith("supervise: processes computed")]
    assert "layers.0.mlp_norm.weight is not the same on process 0 on n1, process 1 on n2" in stop
    assert "which of them is wrong cannot be told" in stop
    assert "test n1 and n2" in output
    assert "which host is to be left out is not known" in output
    # Nobody is accused.
    assert not folder.bad_hosts.exists()
    status = read_json(folder.status)
    assert (status["state"], status["code"]) == ("failed", ExitCode.RERUN_ELSEWHERE)
    assert max(CheckpointStore(folder.path).steps()) == 3
