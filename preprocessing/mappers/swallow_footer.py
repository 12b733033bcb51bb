"""Footer trimming of swallow-corpus (`footer.py`): the first line of footer words near the end cuts what follows."""

import re
from collections import Counter
from functools import cached_property

from pydantic import Field, PositiveInt

from preprocessing.document import Document
from preprocessing.step import Mapper
from preprocessing.text.word_lists import own_list, read_words, word_list_problems

_SENTENCE_MARKS = tuple("。．！？!?」』")
_LEAST_SHARE_OF_LINES = 5
"""One line in so many may be footer."""


class SwallowFooterMapper(Mapper):
    """Cuts a text at the first of its last lines of which more than `share` are footer words, that line included.

    As published, this can empty a text of ten lines whose first one is お知らせ. Ours looks at the last 20 % of the
    lines at most, only behind the last line that ends a sentence, and never takes half of the characters or more.
    Tallies `lines` and `characters`.
    """

    lines: PositiveInt = 10
    """How many lines at the end are looked at."""
    share: float = Field(default=0.3, ge=0, le=1)
    """Share of the characters of a line that must be exceeded."""
    words: str | None = None
    """File of footer words, one per line; null takes a list of our own. For the published verdicts give the words of
    `footer.py` (MIT licence)."""
    published: bool = False
    """Without the limits of ours."""

    def files(self) -> tuple[str, ...]:
        return (self.words or own_list("footer"),)

    def problems(self) -> list[str]:
        return word_list_problems("words", self.words)

    @cached_property
    def _words(self) -> list[str]:
        # Longest first, as published; words of one length in a fixed order, which a set has not.
        return sorted(set(read_words(self.files()[0])), key=lambda word: (-len(word), word))

    @cached_property
    def _any_word(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._words)) or "(?!)")

    def map(self, document: Document, tally: Counter[str]) -> str:
        lines = document.view.lines
        for place in range(self._first(lines), len(lines)):
            if self._is_footer(lines[place]):
                break
        else:
            return document.text
        text = "\n".join(lines[:place])
        if not self.published and 2 * len(text) <= len(document.text):
            return document.text
        tally["lines"] += len(lines) - place
        tally["characters"] += len(document.text) - len(text)
        return text

    def _first(self, lines: list[str]) -> int:
        """The first line that is looked at."""
        if self.published:
            return max(0, len(lines) - self.lines)
        first = len(lines) - min(self.lines, len(lines) // _LEAST_SHARE_OF_LINES)
        for place in range(len(lines) - 1, first - 1, -1):
            if lines[place].rstrip().endswith(_SENTENCE_MARKS):
                return place + 1
        return first

    def _is_footer(self, line: str) -> bool:
        if not self._any_word.search(line):
            return False
        left = line
        for word in self._words:
            left = left.replace(word, "")
        return len(line) - len(left) > self.share * len(line)
