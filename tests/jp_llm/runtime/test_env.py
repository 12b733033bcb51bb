"""Who am I, from what launchers leave in the environment. tests/test_launchers.py starts real ones."""

import pytest
from launcher_environments import BATCH, DEEPSPEED, INTEL, MVAPICH, OPEN_MPI, SRUN, TORCHRUN

from jp_llm.runtime.env import World, rank_from, world_from
from jp_llm.runtime.errors import ExitCode, UserError


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
