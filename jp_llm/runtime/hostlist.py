"""Slurm's short forms: `gpu[01-03,7],login1` for host names, `8(x2),4` for tasks per node."""

import re
from collections.abc import Iterator

from jp_llm.runtime.errors import config_error

LONGEST = 65_536
"""Hosts of a list; more than any cluster has, so that a broken list cannot fill the memory."""


def hosts(text: str) -> list[str]:
    """Expand a host list in its order, as `scontrol show hostnames` does.

    A list is a sequence of names, separated by commas; a name may hold any number of brackets with numbers and ranges
    of numbers, whose leading zeros are kept.

    Raises:
        UserError: the text is no host list.
    """
    found: list[str] = []
    for name in _outside_brackets(text):
        found += _expanded(name, text)
        if len(found) > LONGEST:
            raise _broken(text)
    return found


def tasks_per_node(text: str) -> list[int]:
    """Expand SLURM_TASKS_PER_NODE; empty for an empty text or one that is none."""
    counts: list[int] = []
    for item in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", item)
        if match is None or int(match[2] or 1) > LONGEST:
            return []
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _outside_brackets(text: str) -> Iterator[str]:
    """Parts between the commas that stand outside brackets."""
    depth, start = 0, 0
    for position, character in enumerate(text):
        if character in "[]":
            depth += 1 if character == "[" else -1
            if depth not in (0, 1):
                raise _broken(text)
        elif character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    if depth:
        raise _broken(text)
    if text:
        yield text[start:]


def _expanded(name: str, text: str) -> list[str]:
    match = re.fullmatch(r"([^\[\],\s]*)\[([^\[\]\s]+)\](\S*)", name)
    if match is None:
        if not name or re.search(r"[\[\],\s]", name):
            raise _broken(text)
        return [name]
    head, ranges, tail = match.groups()
    numbers: list[str] = []
    for item in ranges.split(","):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
        if ends is None:
            raise _broken(text)
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not first <= last < first + LONGEST:
            raise _broken(text)
        numbers += [f"{number:0{len(ends[1])}d}" for number in range(first, last + 1)]
    tails = _expanded(tail, text) if tail else [""]
    if len(numbers) * len(tails) > LONGEST:
        raise _broken(text)
    return [f"{head}{number}{end}" for number in numbers for end in tails]


def _broken(text: str) -> Exception:
    return config_error([f"{text[:80]!r} is no list of hosts as Slurm writes them, e.g. gpu[01-04,07]"])
