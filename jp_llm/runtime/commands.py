"""What is done to the command of a launcher before it runs, so that nothing of it is read as something else."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from jp_llm.runtime.errors import config_error
from jp_llm.runtime.hostfile import read_hostfile
from jp_llm.runtime.words import packed

SCRIPT = "train.py"
DEFAULT_HOSTFILE = Path("/job/hostfile")  # where deepspeed looks if it is told nothing
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def script_position(command: Sequence[str]) -> int | None:
    """Where in the command of a launcher the training script stands; the words behind it are overrides."""
    return next((i for i, word in enumerate(command) if Path(word).name.endswith(SCRIPT)), None)


def safe_command(command: Sequence[str]) -> list[str]:
    """The command to run instead of `command`: the same run, but no shell of another host reads the overrides.

    `deepspeed` with a hostfile has its hostfile checked and its overrides packed into one word. All other launchers
    pass words as they are.

    Raises:
        UserError: the hostfile is refused, or the working folder or the interpreter has a name that a shell would
            read as something else.
    """
    position = script_position(command)
    launcher = next((i for i, word in enumerate(command[:position]) if _is_deepspeed(word)), None)
    if position is None or launcher is None:
        return list(command)
    hostfile = _hostfile(command[launcher + 1 : position])
    if hostfile is None:
        return list(command)
    read_hostfile(hostfile)
    names = {"the working folder": os.getcwd(), "the interpreter": sys.executable, "the script": command[position]}
    problems = [
        f"{what} {name!r}: deepspeed gives this name to a shell on every host without quotes; use one of letters, "
        "digits and _ @ + = : , . / -"
        for what, name in names.items()
        if not _PLAIN.fullmatch(name)
    ]
    if problems:
        raise config_error(problems)
    for note in environment_files(Path.home(), Path.cwd()):
        print(f"note: {note}", file=sys.stderr)
    words = command[position + 1 :]
    return [*command[: position + 1], *([packed(words)] if words else [])]


def environment_files(*folders: Path) -> list[str]:
    """What to say about files whose variables `deepspeed` sets on every host, whoever has put them there."""
    found = []
    for folder in folders:
        path = folder / os.environ.get("DS_ENV_FILE", ".deepspeed_env")
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            names = ", ".join(line.partition("=")[0].strip()[:40] for line in lines if "=" in line)
            found.append(
                f"{path}: deepspeed sets {names or 'nothing'} from it on every host; remove it if that is not yours"
            )
    return found


def _is_deepspeed(word: str) -> bool:
    return Path(word).name in ("deepspeed", "deepspeed.pt", "ds", "deepspeed.launcher.runner")


def _hostfile(options: Sequence[str]) -> Path | None:
    """Of the options of `deepspeed`, which may be shortened; None if there is no such file and it would run here."""
    found = DEFAULT_HOSTFILE
    for i, word in enumerate(options):
        name, equals, value = word.partition("=")
        if (len(name) > 3 and "--hostfile".startswith(name)) or word == "-H":
            found = Path(value) if equals else Path(*options[i + 1 : i + 2])
        elif word.startswith("-H"):
            found = Path(word.removeprefix("-H").removeprefix("="))
    if found.is_file():
        return found
    if found != DEFAULT_HOSTFILE:
        raise config_error([f"{found}: there is no such hostfile, and deepspeed would train on this machine alone"])
    return None
