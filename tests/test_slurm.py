"""Training as a job of a real Slurm with two nodes: from launch/submit.py to the last step, whatever comes between."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import SlurmCluster, slurm_cluster, wait_for
from tiny import TINY_WORDS, write_dataset

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.files import read_json, read_json_lines
from jp_llm.runtime.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
STEPS = 80
OVERRIDES = [
    *TINY_WORDS,
    f"train.num_steps={STEPS}",
    "train.global_batch_size=8",
    "parallel.zero_stage=2",
    "checkpoint.every_steps=5",
    "slurm.nodes=2",
    "slurm.tasks_per_node=2",
    "slurm.cpus_per_task=2",
    "slurm.environment={OMP_NUM_THREADS: 1, DS_ACCELERATOR: cpu}",
]
SIGNAL_SECONDS = 70
# Slurm signals one process after another, and the first step to end after the first of them saves.
SIGNALLED = re.compile(r"signal to (process [0-3]|[2-4] processes)")

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.launchers,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


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
    records = [cluster.wait_for_state(job, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", seconds=300) for job in jobs]
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


class Disturbed:
    """A run that is interrupted in every way that Slurm knows, and what it is seen to do."""

    def __init__(self, cluster: SlurmCluster, folder: Path, job: str) -> None:
        self.cluster = cluster
        self.folder = folder
        self.job = job

    def step(self) -> int:
        """The last step that it has recorded."""
        path = RunFolder(self.folder).metrics
        records = read_json_lines(path) if path.exists() else []
        return max((record["step"] for record in records if record["kind"] == "train"), default=0)

    def starts(self) -> list[int]:
        """The steps from which it began to train."""
        return [event["step"] for event in events(self.folder, "start", "resume")]

    def wait(self, condition: Any, what: str, seconds: float = 300) -> None:
        wait_for(condition, seconds, what, lambda: f"{output(self.folder, self.job)}\n{self.cluster.logs()}")

    def wait_for_training(self, start: int) -> int:
        """Until its start with this number has trained some steps; the last one."""
        self.wait(lambda: len(self.starts()) >= start, f"start {start} trains")
        begun = self.starts()[start - 1]
        self.wait(lambda: self.step() >= begun + 4, f"start {start} has trained 4 steps")
        return self.step()

    def wait_for_requeue(self, times: int) -> None:
        self.wait(lambda: self.cluster.job(self.job)["Restarts"] == str(times), f"requeue {times}")

    def exits(self) -> list[tuple[int, int, str]]:
        """Code, step and reason of every end of the run that it knew of."""
        return [(event["code"], event["step"], event["reason"]) for event in events(self.folder, "exit")]


def test_a_run_goes_on_after_preemption_loss_of_a_node_and_time_limit_to_the_same_end(
    cluster: SlurmCluster, data: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    slow = [f"slurm.venv={slow_environment(tmp_path / 'venv')}", "slurm.environment.SECONDS_PER_STEP=0.6"]
    limit = ["slurm.time=60", f"slurm.signal_seconds={SIGNAL_SECONDS}"]
    (job,) = submit(cluster, f"data.path={data}", f"run_dir={folder}", *limit, *slow)
    run = Disturbed(cluster, folder, job)

    # Preemption: all processes of the step get the signal, as from sbatch --signal.
    reached = run.wait_for_training(1)
    cluster.run("scancel", "--signal=USR2", job)
    run.wait_for_requeue(1)
    ((code, step, reason),) = run.exits()
    assert (code, bool(SIGNALLED.fullmatch(reason))) == (85, True), (reason, output(folder, job))
    assert step >= reached
    assert CheckpointStore(folder).steps()[-1] == step

    # A node that is lost takes its processes with it and saves nothing.
    lost_at = run.wait_for_training(2)
    assert run.starts() == [0, step]
    cluster.kill_node("n2")
    run.wait_for_requeue(2)
    cluster.start_node("n2")

    # Slurm looks at time limits every 30 seconds: this one ends in more, and its signal is due.
    run.wait_for_training(3)
    assert step <= run.starts()[2] <= lost_at
    hours, minutes, seconds = map(int, cluster.job(job)["RunTime"].split(":"))
    ran = 3600 * hours + 60 * minutes + seconds
    cluster.run("scontrol", "update", f"JobId={job}", f"TimeLimit={1 + (ran + 40) // 60}")
    run.wait_for_requeue(3)
    code, limited_at, reason = run.exits()[-1]
    assert (code, bool(SIGNALLED.fullmatch(reason))) == (85, True), (reason, output(folder, job))
    assert run.starts()[2] < limited_at < STEPS
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")

    record = cluster.wait_for_state(job, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", seconds=300)
    assert (record["JobState"], record["ExitCode"]) == ("COMPLETED", "0:0"), output(folder, job)
    # A start that was quicker than the longer limit is told of the old one once more, before it has trained.
    assert record["Restarts"] in ("3", "4"), output(folder, job)
    assert run.starts()[3] == limited_at
    assert run.exits()[-1][:2] == (0, STEPS)
    assert events(folder, "requeue")
    assert tensors(folder) == tensors(undisturbed.folder)


def slow_environment(folder: Path) -> Path:
    """A virtual environment whose Python pauses before each step of a training."""
    real, slow = shlex.quote(sys.executable), shlex.quote(str(ROOT / "tests" / "helpers" / "slow_train.py"))
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "activate").write_text(f"export PATH={shlex.quote(str(folder / 'bin'))}:$PATH\n")
    python = folder / "bin" / "python"
    python.write_text(
        f'#!/bin/bash\ncase "$1" in */launch/train.py) exec {real} {slow} "${{@:2}}" ;; *) exec {real} "$@" ;; esac\n'
    )
    python.chmod(0o755)
    return folder


def tensors(folder: Path) -> dict[str, bytes]:
    """The bytes of every file with weights and moments of the last checkpoint."""
    last = CheckpointStore(folder).path(STEPS)
    return {str(path.relative_to(last)): path.read_bytes() for path in sorted(last.rglob("*.safetensors"))}


def test_a_job_on_a_node_that_turned_out_bad_makes_room_for_one_without_it(
    cluster: SlurmCluster, data: Path, undisturbed: Undisturbed
) -> None:
    folder = undisturbed.folder
    text = str(folder).replace("'", "\\'")
    size = ["slurm.nodes=1", "slurm.tasks_per_node=4", "slurm.extra=[--hold]"]
    (job,) = submit(cluster, f"data.path={data}", f"run_dir='{text}'", *size)
    assert cluster.job(job)["JobState"] == "PENDING"
    RunFolder(folder).bad_hosts.write_text("n1  # memory errors\n")
    cluster.run("scontrol", "release", job)
    assert cluster.wait_for_state(job, "COMPLETED", "FAILED")["JobState"] == "COMPLETED", output(folder, job)
    found = re.search(r"without n1\nSubmitted batch job (\d+)", output(folder, job))
    assert found is not None, output(folder, job)
    assert cluster.job(found[1])["ExcNodeList"] == "n1"
    cluster.run("scontrol", "release", found[1])
    record = cluster.wait_for_state(found[1], "COMPLETED", "FAILED")
    assert (record["JobState"], record["NodeList"]) == ("COMPLETED", "n2"), output(folder, found[1])


def test_a_job_that_is_cancelled_is_not_queued_again(cluster: SlurmCluster, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (job,) = submit(cluster, f"data.path={data}", f"run_dir={folder}")
    wait_for(lambda: events(folder, "attempt"), 120, "srun is started", lambda: output(folder, job))
    cluster.run("scancel", job)
    wait_for(lambda: events(folder, "attempt_end"), 120, "the supervisor has seen the end", lambda: output(folder, job))
    wait_for(lambda: cluster.node_states() == ["idle", "idle"], 120, "the nodes are free", cluster.logs)
    record = cluster.job(job)
    assert (record["JobState"], record["Restarts"]) == ("CANCELLED", "0"), output(folder, job)
    assert f"job {job}, so it is left to Slurm" in output(folder, job)
    assert not RunFolder(folder).kill_order.exists()
