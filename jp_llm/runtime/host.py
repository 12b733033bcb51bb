"""What this host is called."""

import os
import socket


def host_name() -> str:
    """Name of this host, as the scheduler calls it."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
