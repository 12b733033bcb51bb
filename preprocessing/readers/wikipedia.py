"""Wikipedia: the pages of a MediaWiki XML dump as plain text."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from pydantic import Field, NonNegativeInt, PositiveInt

from jp_llm.texts.streams import DamagedFile
from preprocessing.document import Record, Tally
from preprocessing.raw_file import RawFile
from preprocessing.step import Reader
from preprocessing.wikitext.brackets import TooComplex
from preprocessing.wikitext.extractor import Extractor
from preprocessing.wikitext.formats import parse
from preprocessing.wikitext.lines import REFERENCE_SECTIONS
from preprocessing.wikitext.losses import Losses
from preprocessing.wikitext.opaque import without_opaque
from preprocessing.wikitext.templates import Templates

_REDIRECT = re.compile(r"\s*[#＃](?:REDIRECT|転送|リダイレクト)", re.IGNORECASE)
# 曖昧さ回避, 人名の曖昧さ回避, 駅名の曖昧さ回避; but 要曖昧さ回避 asks editors of an article for a better link.
_DISAMBIGUATION = re.compile(
    r"\{\{[ \n]*+(?:(?i:template|テンプレート):[ ]*+)?(?:[^{}|\n]{1,20}の)?曖昧さ回避[ \n]*+[|}]"
    "|(?:__|＿＿)曖昧さ回避(?:__|＿＿)"
)
_DISAMBIGUATION_LATIN = re.compile(
    r"\{\{[ \n]*+(?i:template:[ ]*+)?"
    r"(?i:(?:人名の?)?aimai|disambig|disambiguation|disamb|dab|hndis|geodis|mathdab)[ \n]*+[|}]|__DISAMBIG__"
)
_OUTSIDE = (b"<?xml", b"<mediawiki", b"</mediawiki>", b"<!--")
_MAX_NAMES, _OTHERS = 4096, "(others)"
# The last one last: `&amp;lt;` is `&lt;`.
_ENTITIES = {b"&lt;": b"<", b"&gt;": b">", b"&quot;": b'"', b"&amp;": b"&"}
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n")
"""What XML does not allow, and the carriage return, which it turns into a line end."""
_NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())


class WikipediaReader(Reader):
    """Articles of a `pages-articles` dump. Redirects, other namespaces and the like are counted and not kept."""

    namespaces: tuple[int, ...] = (0,)
    """Numbers of the namespaces that are read; 0 are the articles."""
    title: Literal["line", "none"] = "line"
    """line: the title is the first line of the text."""
    headings: Literal["keep", "drop"] = "keep"
    """keep: a heading is a line of its own, where text follows."""
    disambiguation: Literal["drop", "keep"] = "drop"
    """What is done with pages that only list articles of the same name."""
    cut_sections: tuple[str, ...] = REFERENCE_SECTIONS
    """Titles of sections that go, with all sections below them."""
    text_templates: dict[str, str] = Field(default_factory=dict)
    """More templates that carry text, by name: `{"年代": "{1}年代"}`; "" marks one that carries none. The fields are
    those of preprocessing/wikitext/formats.py."""
    report_templates: NonNegativeInt = 20
    """Names of unknown templates that each unit reports, the most frequent ones."""
    max_page_bytes: PositiveInt = 16 << 20
    """XML of a page; longer ones are rejected (too_large)."""
    max_page_brackets: PositiveInt = 1_000_000
    """Pairs of brackets in a page; more are rejected (too_complex). Bounds the time that a page can take."""

    @property
    def cut_at(self) -> Literal["page"]:
        return "page"

    def problems(self) -> list[str]:
        found = []
        for name, form in self.text_templates.items():
            try:
                parse(form)
            except ValueError as error:
                found.append(f"text_templates.{name}: {error}")
        return found

    def read(self, raw: RawFile) -> Iterator[Record]:
        extractor = Extractor(
            Templates(self.text_templates),
            frozenset(title.lower() for title in self.cut_sections),
            self.headings == "keep",
            self.max_page_brackets,
        )
        skipped: Counter[str] = Counter()
        losses = Losses()
        try:
            for found in _pages(raw, self.max_page_bytes):
                if found.damage:
                    yield raw.reject(found.position, found.damage, found.data)
                    continue
                record = self._record(raw, found, extractor, losses)
                if isinstance(record, str):
                    skipped[record] += 1
                else:
                    yield record
                if len(losses.unknown_templates) > 2 * _MAX_NAMES:
                    _forget_rare(losses.unknown_templates)
        except (DamagedFile, OSError):
            yield self._tally(skipped, losses)
            raise
        yield self._tally(skipped, losses)

    def _record(self, raw: RawFile, found: "_Found", extractor: Extractor, losses: Losses) -> Record | str:
        """The document; or why it is none, counted or with what was wrong."""
        try:
            page = _parse(found.data)
        except (ElementTree.ParseError, ValueError) as error:
            return raw.reject(found.position, "xml", f"{error}: ".encode() + found.data)
        if reason := self._unwanted(page):
            return reason
        try:
            text = extractor.plain_text(page.text, page.title, losses)
        except TooComplex:
            return raw.reject(found.position, "too_complex", found.data)
        if not text:
            return "no_text_left"
        if self.title == "line":
            text = f"{page.title}\n\n{text}"
        meta: dict[str, Any] = {"title": page.title, "page": page.number, "timestamp": page.timestamp}
        return raw.document(page.number, text, meta)

    def _unwanted(self, page: "_Page") -> str | None:
        if page.namespace not in self.namespaces:
            return "namespace"
        if page.redirect or _REDIRECT.match(page.text):
            return "redirect"
        if page.model != "wikitext":
            return "no_wikitext"
        if not page.text.strip():
            return "empty_page"
        if self.disambiguation == "drop" and _is_disambiguation(page.text):
            return "disambiguation"
        return None

    def _tally(self, skipped: Counter[str], losses: Losses) -> Tally:
        changed = Counter({f"wikipedia.{what}": number for what, number in losses.removed.items() if number})
        names = losses.unknown_templates
        named = sorted(names.keys() - {_OTHERS}, key=lambda name: (-names[name], name))[: self.report_templates]
        changed |= {f"wikipedia.unknown_template {name}": names[name] for name in named}
        if others := names.total() - sum(names[name] for name in named):
            changed[f"wikipedia.unknown_template {_OTHERS}"] = others
        return Tally(skipped, changed)


@dataclass(frozen=True, slots=True)
class _Found:
    """`<page>...</page>`, or what stands where one should."""

    position: int
    data: bytes
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    number: int
    title: str
    namespace: int
    redirect: bool
    model: str
    timestamp: str
    text: str


def _is_disambiguation(text: str) -> bool:
    """Whether the page says so of itself, and not in a comment or a quotation of wikitext."""
    return _calls_itself_disambiguation(text) and _calls_itself_disambiguation(without_opaque(text, Counter()))


def _calls_itself_disambiguation(text: str) -> bool:
    return bool(_DISAMBIGUATION_LATIN.search(text) or ("曖昧さ回避" in text and _DISAMBIGUATION.search(text)))


def _pages(raw: RawFile, max_bytes: int) -> Iterator[_Found]:
    """Every page, from the line `<page>` to the line `</page>`; what is outside is expected, or damage.

    In a dump these are lines of their own, and cannot occur in a text, where < is &lt;.
    """
    read_line = raw.stream.readline
    position, following = raw.start, raw.start
    inside = known = False
    start = size = 0
    lines: list[bytes] = []
    stray: _Found | None = None
    while line := read_line(max_bytes + 1):  # an endless line comes in pieces
        position, following = following, following + len(line)
        tag = line.strip() if b"page>" in line else b""
        if tag == b"<page>":
            if inside:
                yield _Found(start, b"".join(lines), "truncated_page")
            if stray:
                yield stray
            inside, start, size, lines, stray, known = True, position, 0, [], None, False
        if inside:
            size += len(line)
            if size <= max_bytes:
                lines.append(line)
            if tag == b"</page>":
                yield _Found(start, b"".join(lines), None if size <= max_bytes else "too_large")
                inside, lines = False, []
        elif known or line.lstrip().startswith(b"<siteinfo"):
            known = not line.rstrip().endswith(b"</siteinfo>")
        elif stray is None and line.strip() and not line.lstrip().startswith(_OUTSIDE):
            stray = _Found(position, line, "no_page")
    if inside:
        yield _Found(start, b"".join(lines), "truncated_page")
    if stray:
        yield stray


def _parse(data: bytes) -> _Page:
    """The latest revision of a page.

    The text is by far the longest part, and the XML parser slow where it has many entities; so the text is cut out and
    unescaped by itself. Whatever is unusual about it is left to the parser.

    Raises:
        ElementTree.ParseError: no XML.
        ValueError: XML of something else, or with a document type, whose entities could be an attack.
    """
    if b"<!DOCTYPE" in data:
        raise ValueError("a document type")
    head, begin, rest = data.partition(b"<text ")
    attributes, _, rest = rest.partition(b">")
    escaped, end, tail = rest.partition(b"</text>")
    plain = begin and end and not attributes.endswith(b"/") and b"<text" not in tail and b"<" not in escaped
    text = _unescaped(escaped) if plain else None
    page = ElementTree.fromstring(data if text is None else head + tail)
    revisions = page.findall("revision")
    if page.tag != "page" or not revisions:
        raise ValueError("no revision")
    revision = revisions[-1]
    number, title = page.findtext("id", ""), page.findtext("title", "")
    if not number.isdecimal() or not title:
        raise ValueError("no id or title")
    return _Page(
        int(number),
        title,
        int(page.findtext("ns", "0")),
        page.find("redirect") is not None,
        revision.findtext("model", "wikitext"),
        revision.findtext("timestamp", ""),
        revision.findtext("text", "") if text is None else text,
    )


def _unescaped(escaped: bytes) -> str | None:
    """The character data of an element without children; None if there is anything but the usual in it."""
    if len(escaped.translate(None, _CONTROLS)) < len(escaped) or any(code in escaped for code in _NONCHARACTERS):
        return None
    entities = escaped.count(b"&")
    for entity, sign in _ENTITIES.items():
        before = len(escaped)
        escaped = escaped.replace(entity, sign)
        entities -= (before - len(escaped)) // (len(entity) - 1)
    try:
        return escaped.decode() if entities == 0 else None
    except UnicodeDecodeError:
        return None  # the parser says where


def _forget_rare(names: Counter[str]) -> None:
    """Keep the most frequent; the sum stays what it was."""
    rare = sorted(names.keys() - {_OTHERS}, key=lambda name: (-names[name], name))[_MAX_NAMES:]
    names[_OTHERS] += sum(names.pop(name) for name in rare)
