"""A bit flips in a whole run, from the command line to what is left behind."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY_WORDS, write_dataset

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
WORDS = [
    *TINY_WORDS,
    "train.num_steps=6",
    "train.precision=bf16",
    "parallel.zero_stage=1",
    "checkpoint.every_steps=1",
    "guard.replica_check_every_steps=2",
]


@pytest.mark.distributed
def test_a_flipped_bit_ends_the_run_with_its_own_code_and_saves_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", sources=("books",))
    folder = RunFolder(tmp_path / "run")
    command = [str(BIN / "torchrun"), "--standalone", "--nproc_per_node", "2", "tests/helpers/faulty_train.py", *WORDS]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    environment["FAULT"] = "flip_bit rank=1 step=4 parameter=mlp_norm.weight"
    result = subprocess.run(
        [*command, f"data.path={tmp_path / 'data'}", f"run_dir={folder.path}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode != 0
    # torchrun has a code of its own and prints that of the process.
    assert "exitcode  : 16" in result.stderr, result.stderr
    events = [json.loads(line) for line in folder.events.read_text().splitlines()]
    (event,) = [event for event in events if event["event"] == "replica_mismatch"]
    assert event["step"] == 4
    assert event["tensors"] == ["layers.0.mlp_norm.weight"]
    assert event["processes"] == [0, 1]
    assert event["bad_hosts"] == [socket.gethostname()]
    assert folder.bad_hosts.read_text() == f"{socket.gethostname()}\n"
    assert "layers.0.mlp_norm.weight is not the same on process 0 on " in result.stderr
    assert max(CheckpointStore(folder.path).steps()) == 3
