"""How long the device works on something, without making the host wait for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds between two points of the device's queue; of the host's clock where it is a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds = 0.0
        self._pairs: list[tuple[torch.Event, torch.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """What happens inside counts, if it ends well."""
        if self._device.type == "cpu":
            began = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - began
            return
        pair = torch.Event(self._device, enable_timing=True), torch.Event(self._device, enable_timing=True)
        pair[0].record()
        yield
        pair[1].record()
        self._pairs.append(pair)

    def take(self) -> float:
        """Seconds since the last call. On a GPU the work that was measured must be done."""
        for begin, end in self._pairs:
            end.synchronize()
            self._seconds += begin.elapsed_time(end) / 1e3
        self._pairs.clear()
        seconds, self._seconds = self._seconds, 0.0
        return seconds
