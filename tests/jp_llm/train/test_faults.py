"""Faults of one process or one batch, from the command line to the exit code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from tiny import TINY_WORDS, write_dataset

from jp_llm.runtime.errors import ExitCode
from jp_llm.runtime.files import read_json_lines

ROOT = Path(__file__).resolve().parents[3]
TRAIN = "tests/helpers/faulty_train.py"
OVERRIDES = [
    *TINY_WORDS,
    "train.num_steps=14",
    "guard.window=8",
    "guard.active_from=4",
]


def train(fault: str, folder: Path, processes: int) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """How it ended, and its skips."""
    write_dataset(folder / "data", sources=("books",))
    torchrun = [str(Path(sys.executable).parent / "torchrun"), "--nproc_per_node", str(processes)]
    launcher = [*torchrun, "--master_port", str(free_port())] if processes > 1 else [sys.executable]
    words = [*launcher, TRAIN, *OVERRIDES, f"data.path={folder / 'data'}", f"run_dir={folder / 'run'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "FAULT": fault}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    result = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    events = read_json_lines(folder / "run" / "events.jsonl")
    return result, [event for event in events if event["event"] == "skip"]


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "steps", "reason"),
    [
        ("nan_gradient rank=1 step=6", [6], "the gradient norm is not finite"),
        ("loss_factor rank=all step=9 factor=100 steps=3", [9, 10, 11], "is an outlier"),
    ],
)
def test_what_one_process_or_three_batches_do_is_skipped(
    fault: str, steps: list[int], reason: str, tmp_path: Path
) -> None:
    result, skips = train(fault, tmp_path, processes=2)
    assert result.returncode == ExitCode.DONE, result.stderr
    assert [skip["step"] for skip in skips] == steps
    assert all(reason in skip["reason"] for skip in skips)
    assert result.stdout.count("update skipped: ") == len(steps)


@pytest.mark.distributed
def test_a_loss_that_stays_not_finite_ends_with_its_own_code_and_the_samples(tmp_path: Path) -> None:
    result, skips = train("loss_factor step=3 factor=nan steps=99", tmp_path, processes=1)
    assert result.returncode == ExitCode.NOT_TRUSTWORTHY == 17
    assert [skip["step"] for skip in skips] == list(range(3, 11))
    assert "error: step 10: the loss is not finite, 8 times in a row: step 3 samples 8 to 11" in result.stderr
    assert "Traceback" not in result.stderr
