"""Lines that belong to a web page and not to its text: menus, breadcrumbs, dates, share buttons, notices, footers."""

from collections import Counter
from functools import cached_property
from itertools import compress

from pydantic import NonNegativeInt

from preprocessing.document import Document
from preprocessing.mappers._runs import removed_lines
from preprocessing.step import Mapper
from preprocessing.text.page_evidence import MAXIMUM_LENGTH, Evidence, PageLine
from preprocessing.text.page_lines import PageWords, classify
from preprocessing.text.page_notices import notices
from preprocessing.text.word_lists import own_list, word_list_problems


class LinesMapper(Mapper):
    """Removes such lines; docs/normalisation.md has the rules. Tallies lines by kind, and their `characters`.

    Kinds: menu, breadcrumb, date, counter, share, pagination, tags, notice, footer. Stands before `whitespace`, which
    turns the U+3000 between menu words into ordinary spaces. Only lines that may be boilerplate are looked at closely.
    """

    edge_lines: NonNegativeInt = 15
    """Lines at the head and at the tail, empty ones apart, where less evidence is enough."""
    navigation_words: str | None = None
    """File of menu words, one per line; null takes a list of our own."""
    share_words: str | None = None
    """File of the words on buttons for sharing; null takes a list of our own."""

    def files(self) -> tuple[str, ...]:
        return (*self._chosen(), *PageWords.files())

    def problems(self) -> list[str]:
        return [
            *word_list_problems("navigation_words", self.navigation_words),
            *word_list_problems("share_words", self.share_words),
        ]

    def _chosen(self) -> tuple[str, str]:
        return self.navigation_words or own_list("navigation"), self.share_words or own_list("share")

    @cached_property
    def _words(self) -> PageWords:
        return PageWords.read(*self._chosen())

    def map(self, document: Document, tally: Counter[str]) -> str:
        lines = document.view.lines
        found = self._candidates(document.text, lines)
        removed = removed_lines(lines, found, self.edge_lines) if any(found) else []
        if not removed:
            return document.text
        kept = bytearray(b"\1") * len(lines)
        for place in removed:
            kept[place] = 0
            tally["characters"] += len(lines[place])
        tally.update(line.kind for line, keep in zip(found, kept, strict=True) if line is not None and not keep)
        return "\n".join(compress(lines, kept))

    def _candidates(self, text: str, lines: list[str]) -> list[PageLine | None]:
        """What each line may be."""
        longest, words = MAXIMUM_LENGTH, self._words
        found = [
            classify(line, words) if line and len(line) <= longest and "。" not in line else None for line in lines
        ]
        for place, notice in notices(text, lines, words.notice_signs, words.notices):
            known = found[place]
            if known is None or known.evidence < Evidence.STRONG:
                found[place] = notice
        return found
