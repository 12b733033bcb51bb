"""What the lines look like: menus are short lines, search results break off, lists are bullets, prose ends in marks."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from preprocessing.document import Document
from preprocessing.filters._limits import without_limits
from preprocessing.step import Filter

_BULLETS = tuple("・•●○◆◇■□▶▷‣⁃-*＊※")
_ELLIPSES = ("…", "...")
_ENDS = tuple('.!?。．！？｡‼⁇⁈⁉…」』）)】〉》"”’')


class LayoutFilter(Filter):
    """Drops `short_lines`, `bullets`, `ellipses` and `unended_lines`; null checks nothing.

    Spaces at both ends of a line do not count.
    """

    blank_lines: Literal["ignore", "count"] = "ignore"
    """count: blank lines are lines, and short ones."""
    short_line: NonNegativeInt = 10
    """Lines of so many characters or fewer are short."""
    maximum_short: float | None = Field(default=None, ge=0, le=1)
    """Highest share of short lines."""
    maximum_bullets: float | None = Field(default=None, ge=0, le=1)
    """Highest share of lines that begin with a bullet (・ ● ■ - * and the like)."""
    maximum_ellipses: float | None = Field(default=None, ge=0, le=1)
    """Highest share of lines that end in … or three dots."""
    minimum_ended: float | None = Field(default=None, ge=0, le=1)
    """Least share of lines that end in a sentence mark, a closing bracket or a quotation mark."""
    brackets_end: bool = True
    """Whether closing brackets and quotation marks count as the end of a line."""

    def problems(self) -> list[str]:
        limits = ("maximum_short", "maximum_bullets", "maximum_ellipses", "minimum_ended")
        return without_limits(self, limits)

    def reason(self, document: Document) -> str | None:
        lines = [line.strip() for line in document.view.lines]
        if self.blank_lines == "ignore":
            lines = list(filter(None, lines))
        number = len(lines)
        if not number:
            return None
        if self.maximum_short is not None:
            short = sum(len(line) <= self.short_line for line in lines)
            if short > self.maximum_short * number:
                return "short_lines"
        if self.maximum_bullets is not None:
            bullets = sum(line.startswith(_BULLETS) for line in lines)
            if bullets > self.maximum_bullets * number:
                return "bullets"
        if self.maximum_ellipses is not None:
            ellipses = sum(line.endswith(_ELLIPSES) for line in lines)
            if ellipses > self.maximum_ellipses * number:
                return "ellipses"
        if self.minimum_ended is not None:
            marks = _ENDS if self.brackets_end else _ENDS[: _ENDS.index("」")]
            ended = sum(line.endswith(marks) for line in lines)
            if ended < self.minimum_ended * number:
                return "unended_lines"
        return None
