"""Spans to text: templates by their format, links by their label, tables and files away.

This is the general way, for brackets in brackets and brackets that do not fit; see simple.py for the others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from preprocessing.wikitext.brackets import Kind, Span, TooComplex
from preprocessing.wikitext.links import kind_of, link_text
from preprocessing.wikitext.marks import BROKEN, HOLE
from preprocessing.wikitext.substitution import MAX_ARGUMENTS, Substitution

MAX_DEPTH = 40
"""Templates and links in each other, as in MediaWiki; what is deeper goes."""
_PIPE = re.compile(r"\|")
_EQUALS = re.compile("=")
_END_OF_URL = re.compile(r"[\s<\"]")


@dataclass(frozen=True, slots=True)
class _Part:
    """`text[start:end]` with the spans from `first` up to `last`."""

    start: int
    end: int
    first: int
    last: int


class Renderer:
    """One page.

    No part of the page is rendered twice at the same depth. So a page of n characters takes the rendering of n times
    `MAX_DEPTH` + 1 characters at most, and of what templates add to them.
    """

    def __init__(self, text: str, spans: list[Span], substitution: Substitution) -> None:
        self._text = text
        self._spans = spans
        self._substitution = substitution
        self._removed = substitution.losses.removed

    def run(self) -> str:
        """The text, with holes; what has no brackets (quotes, tags, lists, headings) is still there."""
        return self._render(_Part(0, len(self._text), 0, len(self._spans)), 0)

    def _render(self, part: _Part, depth: int) -> str:
        text, spans = self._text, self._spans
        pieces: list[str] = []
        position, index = part.start, part.first
        while index < part.last:
            span = spans[index]
            kind = span.kind
            if kind == Kind.NONE or span.start < position:
                index += 1
                continue
            pieces.append(text[position : span.start])
            position = span.end
            if kind == Kind.STRAY or kind == Kind.STRAY_TABLE:
                self._removed["stray_bracket"] += span.end > span.start
                pieces.append("\n" + BROKEN if kind == Kind.STRAY_TABLE else "")
                index += 1
                continue
            if depth >= MAX_DEPTH:
                self._removed["too_deep"] += 1
                pieces.append(HOLE)
            elif kind == Kind.LINK:
                pieces.append(self._link(span, index, depth + 1))
            elif kind == Kind.TEMPLATE:
                pieces.append(self._template(span, index, depth + 1))
            elif kind == Kind.EXTERNAL:
                pieces.append(self._external(span, index, depth + 1))
            elif kind == Kind.ARGUMENT:
                pieces.append(self._argument(span, index, depth + 1))
            else:
                self._removed["table"] += 1
                pieces.append("\n" + HOLE)
            index = span.after
        pieces.append(text[position : part.end])
        return "".join(pieces)

    def _link(self, span: Span, index: int, depth: int) -> str:
        inside = _Part(span.start + 2, span.end - 2, index + 1, span.after)
        target_part, label_part = self._cut(_PIPE, inside)
        target_spans = self._spans[target_part.first : target_part.last]
        if any(span.kind == Kind.LINK for span in target_spans):
            self._removed["broken_link"] += 1
            return self._render(inside, depth)
        target = self._text[target_part.start : target_part.end]
        if target_spans:
            target = self._render(target_part, depth)
        label = self._render(label_part, depth) if label_part else ""
        bare = target.replace(HOLE, "")
        if kind_of(bare) is None:
            # Both are rendered already: to render `inside` would double the work with every link in a link.
            self._removed["broken_link"] += 1
            return f"{target}|{label}" if label_part else target
        return link_text(bare, label, self._removed) or HOLE

    def _external(self, span: Span, index: int, depth: int) -> str:
        _, label_part = self._cut(_END_OF_URL, _Part(span.start + 1, span.end - 1, index + 1, span.after), keep=True)
        label = self._render(label_part, depth).strip() if label_part else ""
        self._removed["bare_url"] += not label
        return label or HOLE

    def _argument(self, span: Span, index: int, depth: int) -> str:
        _, default = self._cut(_PIPE, _Part(span.start + 3, span.end - 3, index + 1, span.after))
        return self._render(default, depth) if default else HOLE

    def _template(self, span: Span, index: int, depth: int) -> str:
        inside = _Part(span.start + 2, span.end - 2, index + 1, span.after)
        name_part, rest = self._cut(_PIPE, inside)
        if name_part.first < name_part.last:
            rule = self._substitution.rule("")  # a name that is computed
        else:
            rule = self._substitution.rule(self._text[name_part.start : name_part.end])
        if rule.form is None:
            return self._substitution.dropped(rule)
        arguments = self._arguments(rest, depth)
        return self._substitution.text(rule, arguments, name_part.end - span.start + sum(map(len, arguments.values())))

    def _arguments(self, rest: _Part | None, depth: int) -> dict[str, str]:
        """Name or number -> value, the last one counts."""
        found: dict[str, str] = {}
        number = 0
        for count, part in enumerate(self._split(rest)):
            if count >= MAX_ARGUMENTS:
                raise TooComplex
            name_part, value = self._cut(_EQUALS, part)
            name = self._text[name_part.start : name_part.end].strip() if value else ""
            # `<span style="...">` belongs to a text, whatever MediaWiki makes of it.
            if value and "<" not in name and name_part.first == name_part.last:
                found[name] = self._render(value, depth).strip()
            else:
                number += 1
                found[str(number)] = self._render(part, depth).strip()
        return found

    def _split(self, rest: _Part | None) -> Iterator[_Part]:
        while rest:
            part, rest = self._cut(_PIPE, rest)
            yield part

    def _cut(self, sign: re.Pattern[str], part: _Part, *, keep: bool = False) -> tuple[_Part, _Part | None]:
        """What is before and after the first `sign` outside of the spans inside; the sign itself goes, or is kept."""
        spans = self._spans
        position, index = part.start, part.first
        while True:
            span = spans[index] if index < part.last else None
            match = sign.search(self._text, position, span.start if span else part.end)
            if match:
                after = match.start() if keep else match.end()
                return _Part(part.start, match.start(), part.first, index), _Part(after, part.end, index, part.last)
            if span is None:
                return part, None
            position, index = max(span.end, position), span.after
