"""How sure a line is part of a web page and not of its text."""

from enum import IntEnum
from functools import cache
from typing import NamedTuple

MAXIMUM_LENGTH = 200
"""Characters of the longest line that is looked at."""


class Evidence(IntEnum):
    """How sure a line is boilerplate."""

    WEAK = 1
    """One menu word, or a bare date: only inside or beside other boilerplate."""
    SHAPE = 2
    """Separators and nothing else: not beside another such line, for that is a table."""
    EDGE = 3
    """At the head or tail of a text, or beside other boilerplate."""
    STRONG = 4
    """Wherever it stands."""


class PageLine(NamedTuple):
    """A line that may be boilerplate."""

    kind: str
    evidence: Evidence


@cache
def page_line(kind: str, evidence: Evidence) -> PageLine:
    """One object for all lines alike: hostile texts have millions."""
    return PageLine(kind, evidence)
