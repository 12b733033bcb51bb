"""Where the processes of a run meet: MASTER_ADDR and MASTER_PORT, which all of them must work out alike."""

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from zlib import crc32

from jp_llm.runtime.env import World
from jp_llm.runtime.errors import config_error
from jp_llm.runtime.hostlist import hosts

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS = 15_000, 15_000  # below those that Linux hands out by itself


def complete_environment(world: World) -> None:
    """Set what torch and DeepSpeed read, whatever the launcher has set."""
    address, port = master(world, os.environ)
    local_size = world.local_size or world.size
    values = {
        "RANK": world.rank,
        "LOCAL_RANK": world.local_rank,
        "WORLD_SIZE": world.size,
        "LOCAL_SIZE": local_size,
        "LOCAL_WORLD_SIZE": local_size,
        "CROSS_RANK": world.rank // local_size if world.node is None else world.node,
        "CROSS_SIZE": -(-world.size // local_size),
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
    }
    # What torchrun and deepspeed have set is right. Under the others it is left over from whoever started them.
    keep = world.launcher in ("torchrun", "deepspeed", "environment")
    for name, value in values.items():
        if not keep or name not in os.environ:
            os.environ[name] = str(value)


def master(world: World, environment: Mapping[str, str]) -> tuple[str, int]:
    """Address and port of process 0. What the environment says already counts.

    Raises:
        UserError: nothing tells, so the user must.
    """
    address, port = environment.get("MASTER_ADDR"), environment.get("MASTER_PORT")
    if address and port:
        if not port.isdigit():
            raise config_error([f"MASTER_PORT={port!r} is no number"])
        return address, int(port)
    if world.size == 1:
        return address or LOOPBACK, int(port) if port else _free_port()
    if world.launcher == "srun":
        job = [environment.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")]
        return address or _first_host(environment), int(port) if port else port_of(".".join(job))
    if world.launcher == "mpirun":
        # The same on all machines of one mpirun, and another for the next.
        namespace = environment.get("PMIX_NAMESPACE")
        if address or (namespace and world.local_size == world.size):
            return address or LOOPBACK, int(port) if port else port_of(namespace or address or "")
        return _from_process_0(world)
    raise config_error(
        [
            "RANK and WORLD_SIZE are set, but MASTER_ADDR and MASTER_PORT are not; set them to the host "
            "of process 0 and a free port there"
        ]
    )


def port_of(name: str) -> int:
    """A port for a name: the same for the same job, most likely another for another."""
    return FIRST_PORT + crc32(name.encode()) % PORTS


def _first_host(environment: Mapping[str, str]) -> str:
    """Where task 0 of a Slurm step runs."""
    listed = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or ""
    if not listed:
        raise config_error(["Slurm names no hosts (SLURM_STEP_NODELIST); set MASTER_ADDR to the first host of the job"])
    host = hosts(listed)[0]
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return _address_of_node(host) or host
    return host


def _address_of_node(node: str) -> str | None:
    """What Slurm itself uses for a node whose name no name service knows."""
    try:
        shown = subprocess.run(
            ["scontrol", "show", "node", node], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bNodeAddr=(\S+)", shown)
    return match[1] if match else None


def _from_process_0(world: World) -> tuple[str, int]:
    """Process 0 sends its address and a free port to all others over MPI, which is ended again at once."""
    advice = "mpirun -x MASTER_ADDR=<first host> (Open MPI) or -genv MASTER_ADDR <first host> (MPICH, Intel MPI)"
    try:
        import mpi4py

        mpi4py.rc.initialize = mpi4py.rc.finalize = False
        from mpi4py import MPI

        MPI.Init()
    except (ImportError, RuntimeError) as error:
        raise config_error(
            [
                f"mpirun started {world.size} processes that do not know where to meet, and mpi4py cannot tell them "
                f"({str(error).splitlines()[0]}); pip install mpi4py, or say it: {advice}"
            ]
        ) from None
    try:
        world_of_mpi = MPI.COMM_WORLD
        if world_of_mpi.Get_size() != world.size:
            raise config_error(
                [
                    f"mpirun started {world.size} processes, but the MPI library of mpi4py "
                    f"({MPI.Get_library_version().split(',')[0]}) sees {world_of_mpi.Get_size()}: it belongs to "
                    f"another mpirun; use its own, or say where to meet: {advice}"
                ]
            )
        found = (_own_address(), _free_port()) if world.rank == 0 else None
        address, port = world_of_mpi.bcast(found, root=0)
    finally:
        MPI.Finalize()
    return str(address), int(port)


def _own_address() -> str:
    """An address of this machine that others can reach."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = LOOPBACK
    if not address.startswith("127."):
        return address
    # Many systems give their own name a loopback address. No packet is sent: only the route is asked for.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port
