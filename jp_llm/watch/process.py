"""What the kernel says about a process of this host (proc(5))."""

import os
import time
from pathlib import Path
from typing import Literal

Condition = Literal["running", "stopped", "gone", "remote"]
"""`remote`: of another host, or never seen."""


def condition_of(pid: int, started: int) -> Condition:
    """Whether the process is there, or stopped by a signal.

    Args:
        started: as `started` returned it; another process under the same number is not the same process.
    """
    found = _stat(pid)
    if found is None or found[0] in "ZX" or found[1] != started:
        return "gone"
    return "stopped" if found[0] == "T" else "running"


def started(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone."""
    found = _stat(pid)
    return None if found is None else found[1]


def started_at(pid: int) -> float | None:
    """When the process started, in Unix seconds; None if it is gone."""
    found = _stat(pid)
    if found is None or found[0] in "ZX":
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + found[1] / os.sysconf("SC_CLK_TCK")


def age() -> float:
    """Seconds since this process started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - (started(os.getpid()) or 0) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may hold anything.
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])
