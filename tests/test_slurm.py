"""Training as a job of a real Slurm with two nodes: from launch/submit.py to the last step, whatever comes between."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import SlurmCluster, slurm_cluster
from tiny import write_dataset

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
STEPS = 80
OVERRIDES = [
    "model/size=nano",
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.max_position_embeddings=16",
    f"train.num_steps={STEPS}",
    "train.global_batch_size=8",
    "train.micro_batch_size=2",
    "train.precision=fp32",
    "train.eval_every_steps=0",
    "train.sample_every_steps=0",
    "train.device=cpu",
    "optim.warmup_steps=1",
    "parallel.zero_stage=2",
    "checkpoint.every_steps=5",
    "slurm.nodes=2",
    "slurm.tasks_per_node=2",
    "slurm.cpus_per_task=2",
    "slurm.environment={OMP_NUM_THREADS: 1, DS_ACCELERATOR: cpu}",
]
SIGNAL_SECONDS = 10

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, sources=("books",))
    return folder


def submit(cluster: SlurmCluster, *overrides: str) -> list[str]:
    """Numbers of the jobs."""
    printed = cluster.run(
        sys.executable, "launch/submit.py", *OVERRIDES, *overrides, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    return re.findall(r"^job (\d+): ", printed, re.MULTILINE)


class Undisturbed:
    """A run that was left alone."""

    def __init__(self, folder: Path, jobs: list[str], records: list[dict[str, str]]) -> None:
        self.folder = folder
        self.jobs = jobs
        self.records = records


@pytest.fixture(scope="module")
def undisturbed(cluster: SlurmCluster, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    # What sbatch, bash and Hydra read specially must arrive as it is.
    folder = tmp_path_factory.mktemp("undisturbed") / 'run $HOME #1 50%j "x" (最初)'
    text = str(folder).replace("'", "\\'")
    jobs = submit(cluster, f"data.path={data}", f"run_dir='{text}'", "slurm.chain=2", "slurm.comment='a #b \"c'")
    records = [cluster.wait_for_state(job, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", seconds=240) for job in jobs]
    return Undisturbed(folder, jobs, records)


def output(folder: Path, job: str) -> str:
    path = folder / "logs" / f"slurm_{job}.log"
    return path.read_text(errors="replace") if path.exists() else f"no {path}: {list(folder.glob('logs/*'))}"


def events(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    path = RunFolder(folder).events
    return [event for event in (read_json_lines(path) if path.exists() else []) if event["event"] in kinds]


def test_a_run_over_two_nodes_ends_once_and_the_next_job_of_the_chain_at_once(undisturbed: Undisturbed) -> None:
    folder, first = undisturbed.folder, undisturbed.jobs[0]
    assert undisturbed.records[0]["JobState"] == "COMPLETED", output(folder, first)
    assert "4 processes = tensor 1 x data 4 x pipeline 1" in output(folder, first)
    assert CheckpointStore(folder).steps()[-1] == STEPS
    assert read_json(RunFolder(folder).done)["step"] == STEPS
    assert [record["Restarts"] for record in undisturbed.records] == ["0", "0"]
    assert undisturbed.records[1]["JobState"] == "COMPLETED"
    assert "the run is complete" in output(folder, undisturbed.jobs[1])
    assert len(events(folder, "start", "resume")) == 1
