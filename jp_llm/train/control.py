"""What is asked of a run from outside: signals to any of its processes, files in its folder."""

from dataclasses import dataclass

from jp_llm.runtime.env import World
from jp_llm.runtime.run_folder import RunFolder


@dataclass(frozen=True)
class Orders:
    """What all processes do after this step."""

    save: bool = False
    stop: bool = False
    reason: str = ""


class Control:
    """USR2 and TERM to any process, and the files SAVE and KILL, become one decision of all processes."""

    def __init__(self, folder: RunFolder, world: World) -> None:
        self.folder = folder
        self.world = world

    def votes(self) -> tuple[float, float]:
        """What this process knows of: save, stop (0 or more). Summed over all processes with the loss of a step."""
        return (0.0, 0.0)

    def orders(self, votes: tuple[float, ...]) -> Orders:
        """From the sums, the same on every process."""
        return Orders(save=votes[0] > 0 or votes[1] > 0, stop=votes[1] > 0)
