"""Who am I, from what launchers leave in the environment. The environments are as real launchers set them."""

import os

import pytest

from jp_llm.runtime import master as master_module
from jp_llm.runtime.env import World, rank_from, world_from
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.master import FIRST_PORT, PORTS, complete_environment, master, port_of

TORCHRUN = {
    "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "gpu1", "MASTER_PORT": "29500",
}  # fmt: skip
DEEPSPEED = {
    "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_SIZE": "4", "CROSS_RANK": "1", "CROSS_SIZE": "2",
    "MASTER_ADDR": "gpu1", "MASTER_PORT": "29500",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_STEP_NODELIST": "localhost,gpu[03-04]", "SLURM_NTASKS": "8", "SLURM_NPROCS": "8",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4", "PMIX_RANK": "5", "PMIX_NAMESPACE": "prterun-gpu1-77@1",
}  # fmt: skip
INTEL = {"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"}
MVAPICH = {
    "MV2_COMM_WORLD_RANK": "5", "MV2_COMM_WORLD_SIZE": "8", "MV2_COMM_WORLD_LOCAL_RANK": "1",
    "MV2_COMM_WORLD_LOCAL_SIZE": "4",
}  # fmt: skip
BATCH = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


@pytest.mark.parametrize(
    ("environment", "launcher", "node"),
    [
        (TORCHRUN, "torchrun", 1),
        (DEEPSPEED, "deepspeed", 1),
        (SRUN, "srun", 1),
        (OPEN_MPI, "mpirun", None),
        (INTEL, "mpirun", None),
        (MVAPICH, "mpirun", None),
        # torchrun inside srun, one per node; Open MPI and Hydra start their helpers through srun, one per node.
        (TORCHRUN | SRUN | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "torchrun", 1),
        (OPEN_MPI | SRUN | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "mpirun", None),
        (INTEL | SRUN | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "mpirun", None),
        # srun speaks PMI to its tasks.
        (SRUN | {"PMI_RANK": "5", "PMI_SIZE": "8"}, "srun", 1),
        (SRUN | {"PMIX_RANK": "5", "PMIX_NAMESPACE": "slurm.pmix.4711.0"}, "srun", 1),
        (TORCHRUN | BATCH, "torchrun", 1),
        (DEEPSPEED | BATCH, "deepspeed", 1),
    ],
)
def test_every_launcher_says_who_this_is(environment: dict[str, str], launcher: str, node: int | None) -> None:
    assert world_from(environment) == World(5, 1, 8, 4, node, launcher)
    assert rank_from(environment) == 5


def test_one_process() -> None:
    for environment in ({}, {"SLURM_NTASKS": "1"}, {"SLURM_JOB_ID": "1"}, {"OMPI_COMM_WORLD_FOO": "1"}):
        assert world_from(environment) == World()
    one = SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_NODEID": "0"}
    assert world_from(one).size == 1
    assert World().is_main
    assert not world_from(TORCHRUN).is_main


def test_nodes_may_have_different_numbers_of_tasks() -> None:
    uneven = SRUN | {"SLURM_STEP_TASKS_PER_NODE": "5,3", "SLURM_NODEID": "1"}
    assert world_from(uneven).local_size == 3
    assert world_from(SRUN | {"SLURM_STEP_TASKS_PER_NODE": "?"}).local_size is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RANK": "0"}, "not RANK and WORLD_SIZE both"),
        ({"WORLD_SIZE": "2"}, "not RANK and WORLD_SIZE both"),
        ({"SLURM_NTASKS": "4"}, "`srun python launch/train.py ...`"),
        (BATCH, "`srun python launch/train.py ...`"),
        # A shell on the first node of an allocation (salloc) is a step of one task.
        (BATCH | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "0"}, "`srun -n 1 ...`"),
        # mpirun of one MPI library, srun or helpers of another: each process sees itself alone.
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "PMI_SIZE": "4"}, "one MPI library"),
        (SRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, "each would train alone"),
        ({"RANK": "0", "WORLD_SIZE": "1", "OMPI_COMM_WORLD_SIZE": "2"}, "each would train alone"),
        # srun started two torchruns (or deepspeeds) that do not know of each other.
        (TORCHRUN | {"GROUP_WORLD_SIZE": "1", "SLURM_STEP_NUM_TASKS": "2"}, "--rdzv-endpoint"),
        (TORCHRUN | {"GROUP_WORLD_SIZE": "1", "SLURM_STEP_NUM_TASKS": "8"}, "--rdzv-endpoint"),
        (DEEPSPEED | {"CROSS_SIZE": "1", "SLURM_STEP_NUM_TASKS": "2"}, "knows of 1"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK='x' is no number"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "ranks count from 0"),
        ({"PMI_RANK": "1", "PMI_SIZE": "4"}, "none of MPI_LOCALRANKID"),
    ],
)
def test_what_would_train_several_times_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words.replace("(", r"\(").replace("?", r"\?")) as caught:
        world_from(environment)
    assert caught.value.code == ExitCode.CONFIG_REFUSED


def test_a_rank_that_cannot_be_believed_silences_nobody() -> None:
    assert rank_from({"RANK": "3"}) == rank_from({"RANK": "2", "WORLD_SIZE": "2"}) == rank_from(BATCH) == 0
    # All tasks of a step have the same left-over; one speaks.
    assert rank_from(SRUN | {"RANK": "0"}) == 5


@pytest.mark.parametrize("environment", [TORCHRUN, DEEPSPEED, SRUN, OPEN_MPI, INTEL])
def test_a_completed_environment_says_the_same_again(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(master_module, "_from_process_0", lambda world: ("gpu1", 1234))
    world = world_from(os.environ)
    complete_environment(world)
    again = world_from(os.environ)
    assert (again.rank, again.local_rank, again.size, again.local_size) == (5, 1, 8, 4)
    assert (os.environ["CROSS_RANK"], os.environ["CROSS_SIZE"]) == ("1", "2")
    assert os.environ["LOCAL_SIZE"] == os.environ["LOCAL_WORLD_SIZE"] == "4"
    assert int(os.environ["MASTER_PORT"]) > 0
    assert os.environ["MASTER_ADDR"]


def test_where_the_processes_meet() -> None:
    assert master(world_from(TORCHRUN), TORCHRUN) == ("gpu1", 29500)
    # All tasks of a step work out the same; another step or another start of the job has another port.
    srun = world_from(SRUN)
    address, port = master(srun, SRUN)
    assert address == "localhost"
    assert FIRST_PORT <= port < FIRST_PORT + PORTS
    other_task = SRUN | {"SLURM_PROCID": "0", "SLURM_NODEID": "0", "SLURM_LOCALID": "0"}
    assert master(world_from(other_task), other_task) == (address, port)
    assert master(srun, SRUN | {"SLURM_STEP_ID": "1"})[1] != port
    assert master(srun, SRUN | {"SLURM_RESTART_COUNT": "1"})[1] != port
    assert master(srun, SRUN | {"MASTER_ADDR": "ib0"}) == ("ib0", port)
    # One machine under mpirun needs no MPI to agree.
    alone = OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "8"}
    assert master(world_from(alone), alone) == ("127.0.0.1", port_of("prterun-gpu1-77@1"))
    given = OPEN_MPI | {"MASTER_ADDR": "gpu1"}
    assert master(world_from(given), given) == ("gpu1", port_of("prterun-gpu1-77@1"))
    host, free = master(World(), {})
    assert host == "127.0.0.1"
    assert free > 0


def test_a_rank_without_a_meeting_point_is_refused() -> None:
    nowhere = {"RANK": "0", "WORLD_SIZE": "2"}
    with pytest.raises(UserError, match="MASTER_ADDR and MASTER_PORT are not"):
        master(world_from(nowhere), nowhere)
    with pytest.raises(UserError, match="no number"):
        master(World(), {"MASTER_ADDR": "a", "MASTER_PORT": "x"})
    without = {name: value for name, value in SRUN.items() if not name.endswith("NODELIST")}
    with pytest.raises(UserError, match="set MASTER_ADDR"):
        master(world_from(without), without)
