"""The launcher command that is supervised, and the training words in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jp_llm.runtime.errors import config_error

TRAINING_SCRIPT = "train.py"
_HOSTFILE_FLAGS = ("--hostfile", "-hostfile", "--machinefile", "-machinefile")
USAGE = "python launch/supervise.py torchrun --nproc_per_node 8 launch/train.py <words> (or any other launcher)"


@dataclass(frozen=True)
class Command:
    """A launcher with its own words, the training script, and the words of the run."""

    launcher: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def argv(self) -> list[str]:
        """All of it, to be executed without a shell."""
        return [*self.launcher, *self.words]

    @property
    def hostfile(self) -> Path | None:
        """The file that names the hosts, if the launcher was given one."""
        position = self._hostfile_position()
        return None if position is None else Path(self.launcher[position].rpartition("=")[2])

    def with_hostfile(self, path: Path) -> "Command":
        """The same with another hostfile."""
        position = self._hostfile_position()
        assert position is not None
        flag, equals, _ = self.launcher[position].rpartition("=")
        changed = f"{flag}{equals}{path}"
        return Command((*self.launcher[:position], changed, *self.launcher[position + 1 :]), self.words)

    def _hostfile_position(self) -> int | None:
        # For mpirun and pdsh, -H is a list of hosts.
        flags = (*_HOSTFILE_FLAGS, "-H") if Path(self.launcher[0]).name == "deepspeed" else _HOSTFILE_FLAGS
        for position, word in enumerate(self.launcher):
            flag, equals, _ = word.partition("=")
            if flag in flags and (equals or position + 1 < len(self.launcher)):
                return position if equals else position + 1
        return None


def parse(argv: Sequence[str]) -> Command:
    """Divide a command behind the first word that ends in `train.py`.

    Raises:
        UserError: there is no such word.
    """
    words = list(argv[1:] if argv[:1] == ["--"] else argv)
    for position, word in enumerate(words):
        if word.endswith(TRAINING_SCRIPT):
            return Command(tuple(words[: position + 1]), tuple(words[position + 1 :]))
    raise config_error([f"no word of the command ends in {TRAINING_SCRIPT}; usage: {USAGE}"])
