"""Has the processes of a node write their stacks, and collects them in the folder of an alarm."""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from jp_llm.runtime.run_folder import RunFolder
from jp_llm.watch.heartbeat import DUMP_SIGNAL, raw_stacks_path
from jp_llm.watch.stacks import Stack, parse
from jp_llm.watch.verdict import Seen

DUMP_SECONDS = 3.0
"""For the processes of a node to write their stacks."""
MOMENT_SECONDS = 0.01
"""In which a process that was stopped may go on."""


def stacks_path(alarm: Path, rank: int) -> Path:
    """The stacks of one process in the folder of an alarm."""
    return alarm / f"rank_{rank:05d}.txt"


def ask(folder: RunFolder, each: Seen) -> None:
    """Tell a process of this node to write its stacks. One that is stopped has done so when this returns."""
    _send(each, DUMP_SIGNAL)
    if each.condition == "stopped":
        _go_on_until_written(folder, each)


def collect(folder: RunFolder, alarm: Path, here: Sequence[Seen]) -> None:
    """Wait until each of them has written, at most `DUMP_SECONDS`, and put it where a person finds it, with a head."""
    deadline = time.monotonic() + DUMP_SECONDS
    for each in here:
        text = _settled(raw_stacks_path(folder, each.rank), deadline)
        # A reader finds the whole file or none.
        target = stacks_path(alarm, each.rank)
        with suppress(OSError):
            target.with_suffix(".tmp").write_text(_head(each, text) + text)
            target.with_suffix(".tmp").replace(target)


def let_go(processes: Iterable[Seen]) -> None:
    """Have those that were stopped go on, to leave."""
    for each in processes:
        if each.condition == "stopped":
            _send(each, signal.SIGCONT)


def read_stacks(alarm: Path, ranks: Iterable[int]) -> dict[int, Stack]:
    """Stacks that were collected, by rank."""
    found = {}
    for rank in ranks:
        with suppress(OSError):
            if stack := parse(stacks_path(alarm, rank).read_text(errors="replace")):
                found[rank] = stack
    return found


def _go_on_until_written(folder: RunFolder, each: Seen) -> None:
    """For moments, until it writes no more: it would train on with the others, away from where it stood."""
    path, sizes = raw_stacks_path(folder, each.rank), [0]
    deadline = time.monotonic() + DUMP_SECONDS
    with suppress(OSError):
        sizes = [path.stat().st_size]
        while (len(set(sizes[-2:])) > 1 or sizes[-1] == sizes[0]) and time.monotonic() < deadline:
            _send(each, signal.SIGCONT)
            time.sleep(MOMENT_SECONDS)
            _send(each, signal.SIGSTOP)
            sizes.append(path.stat().st_size)


def _send(each: Seen, number: signal.Signals) -> None:
    assert each.beat is not None
    with suppress(ProcessLookupError, PermissionError):
        os.kill(each.beat.pid, number)


def _settled(path: Path, deadline: float) -> str:
    """What a process wrote, once it writes no more."""
    before = None
    while True:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            text = ""
        if (text == before and text.count("\n") > 1) or time.monotonic() > deadline:
            return text
        before = text
        time.sleep(0.1)


def _head(each: Seen, text: str) -> str:
    assert each.beat is not None
    lines = [
        f"rank {each.rank} on host {each.beat.host}, pid {each.beat.pid}, in {each.beat.phase} of step "
        f"{each.beat.step} for {each.lasting:.0f} s, last heartbeat {each.silent:.0f} s ago"
    ]
    if each.condition == "stopped":
        lines.append(
            f"it was stopped by a signal (SIGSTOP) for {each.unchanged:.0f} s, and was let go on to write this"
        )
    elif each.condition == "gone":
        lines.append("it is gone: there is nothing to see")
    if text.count("\n") <= 1:
        lines.append("it wrote no stacks")
    return "\n".join(lines) + "\n\n"
