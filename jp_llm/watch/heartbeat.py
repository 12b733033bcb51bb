"""The heartbeat of one process."""

from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.runtime.env import World
from jp_llm.runtime.run_folder import RunFolder


class Pulse:
    """Says what this process is doing, to whoever watches it from outside."""

    def __init__(self, folder: RunFolder, world: World, settings: WatchdogConfig) -> None:
        self.folder = folder
        self.world = world
        self.settings = settings

    def at(self, phase: str, step: int) -> None:
        """From now on this process is in `phase` (start, data, step, evaluate, sample, save) of `step`."""

    def close(self, *, code: int = 0, reason: str = "") -> None:
        """The process is about to end, with this exit code; it is no longer watched. Only the first call counts."""
