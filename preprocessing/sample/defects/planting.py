"""Planting: changes to a clean text that remember where they end up in the raw text."""

from dataclasses import dataclass
from typing import Any

from preprocessing.sample.document import Defect


@dataclass
class _Span:
    start: int
    end: int
    type: str
    found: str | None
    """What replaces the span in the raw text; None for a span that is only pointed out."""
    details: dict[str, Any]


class Planting:
    """One clean text and its planted defects; positions are those of the clean text until `raw` is asked for."""

    def __init__(self, clean: str) -> None:
        self.clean = clean
        self._spans: list[_Span] = []

    def is_free(self, position: int) -> bool:
        """Whether no span has `position` inside."""
        return not any(span.start < position < span.end for span in self._spans)

    def insert(self, position: int, text: str, marks: list[tuple[int, int, str, dict[str, Any]]]) -> None:
        """Put `text` into the clean text; `marks` are (start, end, type, details) inside `text`."""
        self.clean = self.clean[:position] + text + self.clean[position:]
        for span in self._spans:
            if span.start >= position:
                span.start += len(text)
                span.end += len(text)
        self._spans += [_Span(position + start, position + end, kind, None, how) for start, end, kind, how in marks]

    def replace(self, start: int, end: int, found: str, type: str, **details: Any) -> bool:
        """Let `found` stand in the raw text for clean[start:end]; False, and nothing done, where spans would meet."""
        if any(start < span.end and span.start < end for span in self._spans):
            return False
        self._spans.append(_Span(start, end, type, found, details))
        return True

    def raw(self) -> tuple[str, tuple[Defect, ...]]:
        """The raw text, and the defects in order with their positions in it."""
        parts: list[str] = []
        defects: list[Defect] = []
        position = length = 0
        for span in sorted(self._spans, key=lambda span: (span.start, span.end)):
            before, clean = self.clean[position : span.start], self.clean[span.start : span.end]
            found = clean if span.found is None else span.found
            parts += [before, found]
            start = length + len(before)
            length = start + len(found)
            position = span.end
            replaced = None if span.found is None else clean
            defects.append(Defect(span.type, start, length, found, replaced, span.details))
        parts.append(self.clean[position:])
        return "".join(parts), tuple(defects)
