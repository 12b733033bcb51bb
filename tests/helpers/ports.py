"""A port for processes that a test is about to start."""

import random
import socket
from contextlib import suppress

_CHANCE = random.SystemRandom()


def free_port() -> int:
    """Below those that the kernel hands out by itself: until torch is loaded one of them is somebody else's."""
    while True:
        port = _CHANCE.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
