"""Where processes meet, and the environment that torch and DeepSpeed find."""

import os

import pytest
from launcher_environments import DEEPSPEED, INTEL, OPEN_MPI, SRUN, TORCHRUN

from jp_llm.runtime import master as master_module
from jp_llm.runtime.env import World, world_from
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.master import FIRST_PORT, PORTS, complete_environment, master, port_of


@pytest.mark.parametrize("environment", [TORCHRUN, DEEPSPEED, SRUN, OPEN_MPI, INTEL])
def test_a_completed_environment_says_the_same_again(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by its methods for single variables: those that are set meanwhile would stay for the tests behind this one.
    monkeypatch.setattr(os, "environ", dict(environment))
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
