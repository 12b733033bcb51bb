"""The launcher command that is supervised, and the training words in it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jp_llm.runtime.commands import SCRIPT, hostfile_position, script_position
from jp_llm.runtime.errors import config_error

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
        found = hostfile_position(self.launcher)
        return None if found is None else Path(self.launcher[found[0]].removeprefix(found[1]))

    def with_hostfile(self, path: Path) -> "Command":
        """The same with another hostfile."""
        found = hostfile_position(self.launcher)
        assert found is not None
        position, front = found
        return Command((*self.launcher[:position], f"{front}{path}", *self.launcher[position + 1 :]), self.words)

    def check(self) -> None:
        """Whether there is such a launcher.

        Raises:
            UserError: there is none, or it was forgotten.
        """
        program = self.launcher[0]
        if program.endswith(SCRIPT) and len(self.launcher) == 1:
            raise config_error([f"{program}: no launcher stands before it; put python, torchrun or deepspeed there"])
        if shutil.which(program) is None:
            raise config_error([f"{program}: there is no such program here; is the virtual environment active?"])


def parse(argv: Sequence[str]) -> Command:
    """Divide a command behind the first word that ends in `train.py`.

    Raises:
        UserError: there is no such word.
    """
    words = list(argv[1:] if argv[:1] == ["--"] else argv)
    position = script_position(words)
    if position is None:
        raise config_error([f"no word of the command ends in {SCRIPT}; usage: {USAGE}"])
    return Command(tuple(words[: position + 1]), tuple(words[position + 1 :]))
