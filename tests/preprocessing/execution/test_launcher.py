import pytest

from preprocessing.execution.launcher import chosen, launch

MPIRUN = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2", "PMIX_RANK": "2"}
SRUN = {"SLURM_JOB_ID": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1"}
BATCH = {"SLURM_JOB_ID": "5", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
ARRAY = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_CPUS_PER_TASK": "8"}


@pytest.mark.parametrize(
    ("environment", "backend", "size", "rank"),
    [
        ({}, "local", 1, 0),
        (MPIRUN, "mpi", 3, 2),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, "mpi", 2, 1),
        (SRUN, "mpi", 4, 1),
        (BATCH, "local", 1, 0),  # no srun: this process is the only one
        ({**MPIRUN, "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, "local", 1, 0),
        (ARRAY, "slurm_array", 1, 0),
        (ARRAY | SRUN, "slurm_array", 4, 1),
    ],
)
def test_auto_takes_what_fits_the_launcher(environment, backend, size, rank):
    started = launch(environment)
    assert (started.size, started.rank) == (size, rank)
    assert chosen("auto", started) == backend
    assert chosen("local", started) == "local"


def test_all_elements_of_an_array_are_one_job_and_every_step_of_srun_is_a_run():
    assert launch(ARRAY).job == launch(ARRAY | {"SLURM_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "3"}).job == "7"
    assert launch(ARRAY | {"SLURM_RESTART_COUNT": "1"}).job == "7"  # requeued alone
    assert launch(SRUN).job == "5.0"
    assert launch(SRUN | {"SLURM_STEP_ID": "1"}).job == "5.1"
    assert launch(ARRAY).cpus == 8
    assert launch({}).job is None


def test_one_process_of_all_elements_is_the_first():
    array = ARRAY | {"SLURM_ARRAY_TASK_MIN": "2", "SLURM_ARRAY_TASK_COUNT": "16"}
    assert launch(array).elements == 16
    assert launch(array).is_first
    assert not launch(array | {"SLURM_ARRAY_TASK_ID": "3"}).is_first
    assert not launch(array | SRUN).is_first  # rank 1
    assert launch({}).is_first
    assert launch({}).elements == 1
    assert not launch(MPIRUN).is_first
