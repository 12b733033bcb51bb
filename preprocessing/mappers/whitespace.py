"""Spaces and empty lines."""

import re
from collections import Counter
from typing import Literal

from pydantic import NonNegativeInt

from preprocessing.document import Document
from preprocessing.step import Mapper

_OTHER_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")
# Looks back, so that a long run of spaces is tried once and not from each of its characters.
_TRAILING = re.compile("(?<![ \t\u3000])[ \t\u3000]++(?=\n)")
# Looks back after the first character: `re` skips to a literal, but not to a condition.
_INNER_IDEOGRAPHIC = re.compile("\u3000(?<=[^\n\u3000]\u3000)\u3000*")


class WhitespaceMapper(Mapper):
    """Other spaces (no-break, em, thin ...) become U+0020; spaces at line ends and empty lines at both ends go."""

    max_blank_lines: NonNegativeInt = 1
    """Longer runs of empty lines are cut to this many."""
    ideographic_space: Literal["keep", "indent", "space"] = "indent"
    """U+3000. keep: everywhere. indent: where a line begins, as paragraphs of books do; elsewhere one U+0020 for each
    run. space: one U+0020 for each, everywhere."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        text = document.text
        if not text.isascii():
            text = _OTHER_SPACES.sub(" ", text)
            if self.ideographic_space == "space":
                text = text.replace("\u3000", " ")
            elif self.ideographic_space == "indent":
                text = _INNER_IDEOGRAPHIC.sub(" ", text)
        if any(space + "\n" in text for space in " \t\u3000"):
            text = _TRAILING.sub("", text)
        longest = "\n" * (self.max_blank_lines + 1)
        if longest + "\n" in text:
            text = re.sub(longest + "\n+", longest, text)
        return text.lstrip("\n").rstrip()
