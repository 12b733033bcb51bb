"""Which brackets belong together: templates, arguments, links, external links and tables, in one pass with a stack."""

import re
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What a span is."""

    NONE = 0
    """Nothing: a place that was kept for a pair and not used."""
    STRAY = 1
    """A bracket without its other half."""
    STRAY_TABLE = 2
    TEMPLATE = 3
    ARGUMENT = 4
    """`{{{name|default}}}`"""
    LINK = 5
    EXTERNAL = 6
    TABLE = 7


@dataclass(slots=True)
class Span:
    """`text[start:end]`, brackets included. Spans are in the order of `start`, those inside of one right after it."""

    start: int
    end: int
    kind: Kind
    after: int
    """Index of the first span that is not inside."""


class TooComplex(Exception):
    """More brackets than allowed."""


# Every alternative begins with a literal, which `re` skips to.
_TOKEN = re.compile(
    r"\{\{+|\}\}+|\[\[|\]\]*|\[(?=https?://|ftp://|//|mailto:)|\n[ \t:*]*+\{\|(?!\})|\n[ \t]*+\|\}(?!\})"
)


@dataclass(slots=True)
class _Open:
    kind: Kind
    start: int
    count: int
    """Braces that are left of a run."""
    span: int
    """Index of the first place that is kept for the run."""
    places: int


def spans_of(text: str, max_spans: int) -> list[Span]:
    """The spans of `text`, in which line starts follow a \\n.

    Braces are stronger than links and tables, which they cut off; a `]]` inside of a template, or a table's end inside
    of one, belongs to nothing outside. Three braces are an argument if three close it, as in MediaWiki.

    Raises:
        TooComplex: there are more than `max_spans`.
    """
    return _Matcher(text, max_spans).run()


class _Matcher:
    def __init__(self, text: str, max_spans: int) -> None:
        self._text = text
        self._max_spans = max_spans
        self._spans: list[Span] = []
        self._stack: list[_Open] = []
        self._braces = 0
        self._line_start = self._seen = 0

    def run(self) -> list[Span]:
        for match in _TOKEN.finditer(self._text):
            start, end = match.span()
            sign = self._text[start]
            if sign == "{":
                self._open_braces(start, end)
            elif sign == "}":
                self._close_braces(start, end)
            elif sign == "[":
                self._open(Kind.LINK if end - start == 2 else Kind.EXTERNAL, start, end, Kind.STRAY)
            elif sign == "]":
                self._close_links(start, end)
            elif self._text[end - 1] == "|":
                self._open(Kind.TABLE, start, end, Kind.STRAY_TABLE)
            else:
                self._close_table(start, end)
            if len(self._spans) > self._max_spans:
                raise TooComplex
        return self._spans

    def _add(self, start: int, end: int, kind: Kind) -> None:
        self._spans.append(Span(start, end, kind, len(self._spans) + 1))

    def _open(self, kind: Kind, start: int, end: int, unclosed: Kind) -> None:
        self._stack.append(_Open(kind, start, 0, len(self._spans), 1))
        # A single bracket without its other half is a sign of the text.
        self._add(start, end if end - start > 1 else start, unclosed)

    def _close(self, opened: _Open, end: int) -> None:
        span = self._spans[opened.span]
        span.end, span.kind, span.after = end, opened.kind, len(self._spans)

    def _open_braces(self, start: int, end: int) -> None:
        count = end - start
        if len(self._spans) + count // 2 > self._max_spans:
            raise TooComplex
        self._stack.append(_Open(Kind.TEMPLATE, start, count, len(self._spans), count // 2))
        self._braces += 1
        self._add(start, end, Kind.STRAY)
        for _ in range(count // 2 - 1):
            self._add(end, end, Kind.NONE)

    def _close_braces(self, start: int, end: int) -> None:
        """Pairs are made from the inside: of the opening run from its end, of the closing run from its beginning."""
        while end - start >= 2 and self._braces:
            while self._stack[-1].kind != Kind.TEMPLATE:
                self._stack.pop()
            opened = self._stack[-1]
            size = 3 if opened.count >= 3 and end - start >= 3 else 2
            opened.count -= size
            opened.places -= 1
            start += size
            first = self._spans[opened.span]
            first.end = opened.start + opened.count
            if opened.count < 2:
                first.kind, first.end = Kind.NONE, first.start
            span = self._spans[opened.span + opened.places]
            span.start, span.end = opened.start + opened.count, start
            span.kind = Kind.ARGUMENT if size == 3 else Kind.TEMPLATE
            span.after = len(self._spans)
            if opened.count < 2:
                self._stack.pop()
                self._braces -= 1
        if end - start >= 2:
            self._add(start, end, Kind.STRAY)

    def _close_links(self, start: int, end: int) -> None:
        while start < end and self._stack:
            opened = self._stack[-1]
            if opened.kind == Kind.EXTERNAL:
                self._stack.pop()
                if self._start_of_line(start) <= opened.start:
                    start += 1
                    self._close(opened, start)
            elif opened.kind == Kind.LINK and end - start >= 2:
                self._stack.pop()
                start += 2
                self._close(opened, start)
            else:
                break
        if end - start >= 2:
            self._add(start, end, Kind.STRAY)

    def _start_of_line(self, position: int) -> int:
        """After the last \n before `position`, which only grows: no character is looked at twice."""
        self._line_start = self._text.rfind("\n", self._seen, position) + 1 or self._line_start
        self._seen = max(self._seen, position)
        return self._line_start

    def _close_table(self, start: int, end: int) -> None:
        while self._stack and self._stack[-1].kind in (Kind.LINK, Kind.EXTERNAL):
            self._stack.pop()
        if self._stack and self._stack[-1].kind == Kind.TABLE:
            self._close(self._stack.pop(), end)
        else:
            self._add(start, end, Kind.STRAY_TABLE)
