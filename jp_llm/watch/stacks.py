"""Stacks as `faulthandler` writes them: where a process stands, and whether it waits for others."""

import re
from dataclasses import dataclass

_THREAD = re.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)")
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)$')
_MAIN = re.compile(r"main thread (0x[0-9a-f]+)")
_NOT_OURS = ("/site-packages/", "/dist-packages/", "/lib/python3", "<frozen")
_WAITING = ("/torch/distributed/", "/deepspeed/comm/")


@dataclass(frozen=True)
class Frame:
    """One line of a stack."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True)
class Stack:
    """The main thread of one process, innermost frame first."""

    frames: tuple[Frame, ...]

    @property
    def waits(self) -> bool:
        """Whether it is inside a collective."""
        return bool(self.frames) and any(part in self.frames[0].file for part in _WAITING)

    @property
    def own(self) -> Frame | None:
        """The innermost line that belongs to no library; else the innermost of all."""
        ours = (frame for frame in self.frames if not any(part in frame.file for part in _NOT_OURS))
        return next(ours, self.frames[0] if self.frames else None)


def parse(text: str) -> Stack | None:
    """The main thread out of a dump of all threads; None if there is none in `text`.

    The main thread is the one that a line `main thread 0x...` names, else the last: faulthandler begins with the
    youngest.
    """
    threads: dict[str, list[Frame]] = {}
    frames: list[Frame] = []
    for line in text.splitlines():
        if found := _THREAD.match(line):
            # After two dumps the later one counts.
            frames = threads[found[1]] = []
        elif found := _FRAME.match(line):
            frames.append(Frame(found[1], int(found[2]), found[3]))
    if not threads:
        return None
    named = _MAIN.search(text)
    return Stack(tuple(threads.get(named[1] if named else "", frames)))
