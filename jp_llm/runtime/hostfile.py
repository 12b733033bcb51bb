"""The hostfile of `deepspeed`, read with more care than `deepspeed` does: it hands its words to ssh."""

import re
import stat
from pathlib import Path

from jp_llm.runtime.errors import config_error

MOST_SLOTS = 1024
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_LINE = re.compile(r"(\S+)[ \t]+slots=([0-9]+)")


def read_hostfile(path: Path) -> dict[str, int]:
    """Hosts in their order with the number of processes of each.

    A line is `host slots=8`, empty, or a comment that begins with #. A host that begins with a hyphen would be an
    option of ssh, one with ^ a file of pdsh.

    Raises:
        UserError: every line that is refused; or everybody may write the file.
    """
    if stat.S_IMODE(path.stat().st_mode) & stat.S_IWOTH:
        raise config_error([f"{path}: everybody may write this file, and ssh runs what it says; chmod o-w {path}"])
    found: dict[str, int] = {}
    problems = []
    for number, raw in enumerate(path.read_bytes().decode("utf-8", errors="replace").split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        where = f"{path}:{number}"
        if match is None:
            problems.append(f"{where}: {line[:80]!r} is not of the form: host slots=8")
        elif not _HOST.fullmatch(match[1]):
            problems.append(f"{where}: {match[1][:80]!r} is no name of a host (letters, digits, dots and hyphens)")
        elif match[1] in found:
            problems.append(f"{where}: {match[1]} stands here twice; add up its slots in one line")
        elif len(match[2]) > 9 or not 1 <= int(match[2]) <= MOST_SLOTS:
            problems.append(f"{where}: slots={match[2][:20]}; 1 to {MOST_SLOTS} are possible")
        else:
            found[match[1]] = int(match[2])
    if not found and not problems:
        problems.append(f"{path}: names no host; write lines like: host slots=8")
    if problems:
        raise config_error(problems)
    return found
