"""Spans to text: templates by their format, links by their label, tables and files away.

This is the general way, for brackets in brackets and brackets that do not fit; see simple.py for the others.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from preprocessing.wikitext.brackets import Kind, Span
from preprocessing.wikitext.formats import filled
from preprocessing.wikitext.links import link_text
from preprocessing.wikitext.marks import BROKEN, HOLE
from preprocessing.wikitext.templates import Templates

_MAX_DEPTH = 40
"""Templates and links in each other, as in MediaWiki; what is deeper goes."""
_PIPE = re.compile(r"\|")
_EQUALS = re.compile("=")
_END_OF_URL = re.compile(r"[\s<\"]")


@dataclass
class Losses:
    """What could not be kept."""

    removed: Counter[str] = field(default_factory=Counter)
    """Kind -> number of places."""
    unknown_templates: Counter[str] = field(default_factory=Counter)
    """Name -> number of uses of templates that no table knows; they are removed."""


@dataclass(frozen=True, slots=True)
class _Part:
    """`text[start:end]` with the spans from `first` up to `last`."""

    start: int
    end: int
    first: int
    last: int


class Renderer:
    """One page."""

    def __init__(self, text: str, spans: list[Span], templates: Templates, title: str, losses: Losses) -> None:
        self._text = text
        self._spans = spans
        self._templates = templates
        self._title = title
        self._removed = losses.removed
        self._unknown = losses.unknown_templates

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
            if depth >= _MAX_DEPTH:
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
        target = self._text[target_part.start : target_part.end]
        if target_part.first < target_part.last and not any(
            span.kind == Kind.LINK for span in self._spans[target_part.first : target_part.last]
        ):
            target = self._render(target_part, depth)
        label = self._render(label_part, depth) if label_part else ""
        shown = link_text(target.replace(HOLE, ""), label, self._removed)
        if shown is None:
            self._removed["broken_link"] += 1
            return self._render(inside, depth)
        return shown

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
            rule = self._templates.rule("", "")  # a name that is computed
        else:
            rule = self._templates.rule(self._text[name_part.start : name_part.end], self._title)
        if rule.form is None:
            self._removed["template"] += 1
            if not rule.known:
                self._unknown[rule.name] += 1
            return HOLE
        return filled(rule.form, self._arguments(rest, depth))

    def _arguments(self, rest: _Part | None, depth: int) -> dict[str, str]:
        """Name or number -> value, the last one counts."""
        found: dict[str, str] = {}
        number = 0
        for part in self._split(rest):
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
