"""Words of the command line on their way through launchers that give them to a shell once more.

`deepspeed` with a hostfile joins all words and lets a shell on every host read them again; what holds a space is put
into double quotes, nothing else is. So `$HOME`, `;`, `*`, quotes or brackets arrive as something else. Two forms of a
word pass any number of shells: `@file`, and the words themselves in one word of letters and digits.
"""

import base64
import binascii
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jp_llm.runtime.errors import UserError, config_error

_FILE = "@"
_PACKED = "@@"


def packed(words: Sequence[str]) -> str:
    """The words in one word without a character that a shell or pdsh would read."""
    # The padding is = signs, which zsh reads at the beginning of words only; they say nothing that the length does not.
    return _PACKED + base64.urlsafe_b64encode(json.dumps(list(words)).encode()).decode().rstrip("=")


def expanded(words: Sequence[str]) -> list[str]:
    """Put what `@file` (one word per line; empty lines and those that begin with # are passed over) and `packed` stand
    for in their place.

    Raises:
        UserError: a file cannot be read, or a packed word is damaged.
    """
    found: list[str] = []
    for word in words:
        if word.startswith(_PACKED):
            found += _unpacked(word)
        elif word.startswith(_FILE):
            try:
                lines = Path(word.removeprefix(_FILE)).read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError) as error:
                raise config_error([f"{word}: {error}; @file names a file with one override per line"]) from None
            found += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        else:
            found.append(word)
    return found


def _unpacked(word: str) -> list[str]:
    text = word.removeprefix(_PACKED)
    try:
        inside = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        inside = None
    if not isinstance(inside, list) or not all(isinstance(item, str) for item in inside):
        raise config_error([f"{word[:40]}: words that were packed for a launcher, but damaged on their way"])
    return inside


def refuse_mangled(words: Sequence[str]) -> None:
    """Compare with what was typed, where the `deepspeed` that started this process over pdsh runs on this machine.

    Raises:
        UserError: a shell in between has changed a word.
    """
    typed = _typed()
    if typed is None or typed == list(words):
        return
    pairs = zip([*typed, ""], [*words, ""], strict=False)
    sent, arrived = next((pair for pair in pairs if pair[0] != pair[1]), (typed[-1], words[-1]))
    # Of the exit code that every process explains: process 0 may be where this cannot be seen.
    raise UserError(
        f"{sent} was typed, but {arrived or 'nothing'} arrived: deepspeed lets a shell on every host read the words "
        "once more; start with `python launch/supervise.py deepspeed ...`, which protects them, or put them into a "
        "file, one per line, and write @file instead"
    )


def _typed() -> list[str] | None:
    """The words behind the script on the command line of `deepspeed`; None if it is not to be found."""
    launch = _command_line(os.getppid())
    if "deepspeed.launcher.launch" not in launch:
        return None
    marks = [word for word in launch if word.startswith(("--world_info=", "--master_port="))]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        words = _command_line(int(entry.name))
        if not words or Path(words[0]).name != "pdsh" or not all(mark in words for mark in marks):
            continue
        runner = _command_line(_parent(int(entry.name)))
        if sys.argv[0] in runner:
            return runner[runner.index(sys.argv[0]) + 1 :]
    return None


def _command_line(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")[:-1]
    except OSError:
        return []


def _parent(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("PPid:")), 0)
