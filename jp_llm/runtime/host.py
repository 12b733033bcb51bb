"""Which machine this is, as others can tell it from theirs."""

import os
import socket
from pathlib import Path


def host_name() -> str:
    """Name of this host, as the scheduler calls it. Two machines may have the same one (`localhost`, copied images)."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def boot_id() -> str:
    """What the kernel drew when it booted (random(4)): no other machine has it, all containers of this one do."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> int:
    """A number of the namespace of process numbers that this process lives in (pid_namespaces(7))."""
    return os.stat("/proc/self/ns/pid").st_ino
