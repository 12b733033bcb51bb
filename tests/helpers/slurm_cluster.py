"""A real Slurm on this machine: munged, slurmctld and two slurmd in a folder of their own, ended in every case.

Nodes n1 and n2 are both this machine, on ports of their own. They say that they have more processors than there are,
so that tests do not wait for each other's jobs to be placed; timers are as short as Slurm lets them be.
"""

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol")
PACKAGES = ("slurm-wlm", "munge")
SBIN = "/usr/sbin:/sbin"
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for so long: the credentials of its first life must have expired.
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue_seconds}
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
SlurmctldTimeout=20
SlurmdTimeout=8
HealthCheckInterval=0
InactiveLimit=0
KillWait=5
CompleteWait=0
MinJobAge=300
ReturnToService=2
JobRequeue=1
PrologFlags=Alloc
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=8000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE OverTimeLimit=0 State=UP
"""


class SlurmCluster:
    """The cluster; `environment` is what a user of it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))
        } | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:{SBIN}"}

    def start(self) -> None:
        folder = self.folder
        (folder / "state").mkdir()
        for node in NODES:
            (folder / f"spool_{node}").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        text = SLURM_CONF.format(
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            ports=[free_port() for _ in range(3)],
            folder=folder,
            requeue_seconds=5,
        )
        (folder / "slurm.conf").write_text(text)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
        options = [f"--{name}={folder / file}" for name, file in (files | {"seed-file": "munge.seed"}).items()]
        self._run_daemon("munged", "munged", "--foreground", "--force", *options)
        wait_for(lambda: (folder / "munge.socket").exists(), 10, "munged opens its socket")
        self._run_daemon("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        wait_for(lambda: self.node_states() == ["idle", "idle"], 60, "both nodes are idle", self.logs)

    def start_node(self, node: str) -> None:
        self._run_daemon(node, "slurmd", "-D", "-N", node)

    def _run_daemon(self, name: str, *command: str) -> None:
        output = (self.folder / f"{name}.out").open("ab")
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program is not None
        self._daemons[name] = subprocess.Popen(
            [program, *command[1:]],
            env=self.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_the_tests,
        )
        output.close()

    def kill_node(self, node: str) -> None:
        """As if its plug were pulled: slurmd, its step daemons and everything that runs in jobs on it."""
        daemon = self._daemons.pop(node)
        doomed = [pid for pid, names in processes_of_slurm(self.folder).items() if names.get("SLURMD_NODENAME") == node]
        doomed += step_daemons(self.folder, node)
        for pid in (daemon.pid, *doomed):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def close(self) -> None:
        """End every job and every daemon, whatever happened before."""
        with suppress(subprocess.SubprocessError, OSError):
            self.run("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}", check=False, timeout=10)
        for _ in range(3):
            for pid in (*processes_of_slurm(self.folder), *step_daemons(self.folder)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for daemon in self._daemons.values():
            daemon.kill()
        for daemon in self._daemons.values():
            daemon.wait(10)

    def run(self, *command: str, check: bool = True, timeout: float = 60, **options: Any) -> str:
        """What `command` of a user prints."""
        result = subprocess.run(
            command,
            env=self.environment | options.pop("env", {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )
        if check and result.returncode:
            raise AssertionError(f"{command} ended with {result.returncode}: {result.stdout}\n{result.stderr}")
        return result.stdout

    def node_states(self) -> list[str]:
        return self.run("sinfo", "--noheader", "--Node", "--format=%t", check=False).split()

    def job(self, number: str) -> dict[str, str]:
        """Slurm's record of a job."""
        words = self.run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for_state(self, number: str, *states: str, seconds: float = 120) -> dict[str, str]:
        wait_for(lambda: self.job(number)["JobState"] in states, seconds, f"job {number} is {states}", self.logs)
        return self.job(number)

    def logs(self) -> str:
        """The last lines of all daemons."""
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-2000:]}"
            for path in sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        )


def _die_with_the_tests() -> None:
    """Also when they are killed and cannot close the cluster."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def processes_of_slurm(folder: Path) -> dict[int, dict[str, str]]:
    """Processes with the environment of a job of this cluster, and that environment."""
    found = {}
    marker = f"SLURM_CONF={folder}/".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            content = path.read_bytes()
            if marker in content and b"SLURM_JOB_ID=" in content:
                pairs = (item.partition("=") for item in content.decode(errors="replace").split("\0"))
                found[int(path.parent.name)] = {name: value for name, _, value in pairs}
    return {pid: names for pid, names in found.items() if pid != os.getpid()}


def step_daemons(folder: Path, node: str | None = None) -> list[int]:
    """The slurmstepd of this cluster, which outlive their slurmd."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"slurmstepd"):
                environment = (path.parent / "environ").read_bytes()
                open_files = " ".join(os.readlink(link) for link in (path.parent / "fd").iterdir())
                ours = f"{folder}/".encode() in environment or f"{folder}/" in open_files
                if ours and (node is None or f"slurmd_{node}.log" in open_files):
                    found.append(int(path.parent.name))
    return found


def wait_for(condition: Any, seconds: float, what: str, details: Any = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not true: {what}\n{details()}")
        time.sleep(0.2)


def missing() -> list[str]:
    path = f"{os.environ['PATH']}:{SBIN}"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


def install_where_possible() -> str | None:
    """Debian's packages, if they are missing and this user may. Returns why there is no Slurm, None if there is."""
    if not missing():
        return None
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"{', '.join(missing())} not found (apt-get install {' '.join(PACKAGES)})"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # No daemon of the packages is to start: the tests start their own.
    command = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", *PACKAGES]
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=240, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return f"{', '.join(missing())} not found, and apt-get could not install them: {error}"
    return f"{', '.join(missing())} not found after the installation" if missing() else None


@contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """
    Raises:
        pytest.skip.Exception: there is no Slurm and it cannot be installed.
    """
    if sys.platform != "linux":
        pytest.skip("Slurm runs on Linux")
    if reason := install_where_possible():
        pytest.skip(f"no Slurm: {reason}")
    # A short path: sockets of Unix have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="slurm_"))
    cluster = SlurmCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
