"""Who am I: rank, local rank and world size, as the launcher says. Loads no torch."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from jp_llm.runtime.errors import UserError


@dataclass(frozen=True)
class World:
    """The processes of this run and the place of this one among them."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    local_size: int | None = None
    """Processes on this machine; None if nothing says so."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0


def world_from(environment: Mapping[str, str]) -> World:
    """Read what `deepspeed`, `torchrun` or a plain `python` left in the environment.

    Raises:
        UserError: a scheduler started several processes but none of them was told its rank, so that each would train
            alone over the same files.
    """
    named = [name for name in ("RANK", "WORLD_SIZE") if name in environment]
    if len(named) == 1:
        raise UserError(f"{named[0]} is set, but not RANK and WORLD_SIZE both; start through `torchrun` or `deepspeed`")
    if named:
        local_size = environment.get("LOCAL_WORLD_SIZE") or environment.get("LOCAL_SIZE")
        return World(
            rank=int(environment["RANK"]),
            local_rank=int(environment.get("LOCAL_RANK", 0)),
            size=int(environment["WORLD_SIZE"]),
            local_size=int(local_size) if local_size else None,
        )
    for variable in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        if int(environment.get(variable, 1)) > 1:
            raise UserError(
                f"{variable}={environment[variable]} says that several processes were started, but RANK is not set: "
                "each would train alone. Start them through `torchrun` or `deepspeed`"
            )
    return World()


def complete_environment(world: World) -> None:
    """Set what torch and DeepSpeed read, for a process that no launcher started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    defaults = {
        "RANK": world.rank,
        "LOCAL_RANK": world.local_rank,
        "WORLD_SIZE": world.size,
        "LOCAL_SIZE": int(os.environ.get("LOCAL_WORLD_SIZE", world.size)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port,
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, str(value))
