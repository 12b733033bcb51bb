"""What is done to the command of a launcher before it runs, so that nothing of it is read as something else."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from jp_llm.runtime.errors import config_error
from jp_llm.runtime.hostfile import read_hostfile
from jp_llm.runtime.words import expanded, packed

SCRIPT = "train.py"
DEFAULT_HOSTFILE = Path("/job/hostfile")  # where deepspeed looks if it is told nothing
_HOSTFILE_OPTIONS = ("--hostfile", "-hostfile", "--machinefile", "-machinefile")
_DEEPSPEED = ("deepspeed", "deepspeed.pt", "ds", "deepspeed.launcher.runner")
_WITHOUT_VALUE = re.compile(r"--|-[bBdEiIOPqsSuv]*m?")  # options of Python that a name of a program may follow
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def script_position(command: Sequence[str]) -> int | None:
    """Where in the command of a launcher the training script stands; the words behind it are overrides."""
    return next((i for i, word in enumerate(command) if word.endswith(SCRIPT)), None)


def hostfile_position(command: Sequence[str]) -> tuple[int, str] | None:
    """Which word of the command of a launcher names its hostfile, and what stands before the name in that word
    (`--hostfile=`, `-H`, mostly nothing); None if no word does. The last one counts."""
    deepspeed = _deepspeed_position(command)
    found = None
    for i in range(0 if deepspeed is None else deepspeed + 1, script_position(command) or len(command)):
        option, equals, _ = command[i].partition("=")
        # mpirun and others write -H before a list of hosts.
        if option in _HOSTFILE_OPTIONS if deepspeed is None else _is_hostfile_option(option):
            if equals or i + 1 < len(command):
                found = (i, f"{option}=") if equals else (i + 1, "")
        elif deepspeed is not None and option.startswith("-H"):
            found = i, "-H"
    return found


def safe_command(command: Sequence[str]) -> list[str]:
    """The command to run instead of `command`: the same run, but no shell of another host reads the overrides.

    `deepspeed` with a hostfile has its hostfile checked and its overrides, those of `@file` too, packed into one word.
    All other launchers pass words as they are.

    Raises:
        UserError: the hostfile is refused, or the working folder or the interpreter has a name that a shell would
            read as something else.
    """
    position = script_position(command)
    if position is None or _deepspeed_position(command) is None:
        return list(command)
    hostfile = _hostfile(command)
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
    words = expanded(command[position + 1 :])
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


def _deepspeed_position(command: Sequence[str]) -> int | None:
    """Where `deepspeed` itself stands before the training script; its name may also be the value of an option."""
    for i, word in enumerate(command[: script_position(command)]):
        is_value = i > 0 and command[i - 1].startswith("-") and not _WITHOUT_VALUE.fullmatch(command[i - 1])
        if Path(word).name in _DEEPSPEED and not is_value:
            return i
    return None


def _is_hostfile_option(option: str) -> bool:
    # deepspeed understands its options when they are shortened, too.
    return option == "-H" or (len(option) > len("--h") and "--hostfile".startswith(option))


def _hostfile(command: Sequence[str]) -> Path | None:
    """Of a command of `deepspeed`; None if there is no such file and it would run here."""
    named = hostfile_position(command)
    found = DEFAULT_HOSTFILE if named is None else Path(command[named[0]].removeprefix(named[1]))
    if found.is_file():
        return found
    if found != DEFAULT_HOSTFILE:
        raise config_error([f"{found}: there is no such hostfile, and deepspeed would train on this machine alone"])
    return None
