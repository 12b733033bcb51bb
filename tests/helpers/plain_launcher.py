"""The plainest launcher: `python tests/helpers/plain_launcher.py 2 launch/train.py <words>` starts two processes here.

As launchers do, it ends the others when one has failed, and returns the exit code of that one (128 + n for signal n).
It knows nothing of signals: what is sent to it ends it. HOSTS="n1 n2" names the host of each process, as Slurm would.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

from ports import free_port


def die_with_parent() -> None:
    # PR_SET_PDEATHSIG (prctl(2)).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main() -> int:
    count = int(sys.argv[1])
    port = free_port()
    common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    hosts = os.environ.get("HOSTS", "").split()
    processes = []
    for rank in range(count):
        own = {name: str(value) for name, value in (common | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        own |= {"SLURMD_NODENAME": hosts[rank]} if hosts else {}
        command = [sys.executable, *sys.argv[2:]]
        processes.append(subprocess.Popen(command, env=os.environ | own, preexec_fn=die_with_parent))
    while True:
        codes = [process.poll() for process in processes]
        failed = next((code for code in codes if code), None)
        if failed is not None or None not in codes:
            break
        time.sleep(0.02)
    if failed is None:
        return 0
    deadline = time.monotonic() + 5
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes:
        process.kill()
        process.wait()
    return failed if failed > 0 else 128 - failed


if __name__ == "__main__":
    sys.exit(main())
