"""Wikitext to plain text, in time that grows with the length of the page and in no other way.

comments and opaque tags -> brackets matched -> templates, links and tables -> quotes, tags, entities
-> brackets that lost their content repaired -> headings, sections and lists
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from preprocessing.wikitext.brackets import TooComplex, spans_of
from preprocessing.wikitext.inline import unescaped, without_conversions, without_inline_markup
from preprocessing.wikitext.lines import REFERENCE_SECTIONS, plain_lines
from preprocessing.wikitext.losses import Losses
from preprocessing.wikitext.marks import restored, without_marks
from preprocessing.wikitext.opaque import without_opaque
from preprocessing.wikitext.render import Renderer
from preprocessing.wikitext.repair import repaired
from preprocessing.wikitext.simple import without_simple_brackets
from preprocessing.wikitext.substitution import Substitution
from preprocessing.wikitext.templates import Templates


@dataclass(frozen=True)
class Extractor:
    """What is kept of a page."""

    templates: Templates = field(default_factory=Templates)
    cut_sections: Collection[str] = frozenset(REFERENCE_SECTIONS)
    """Titles in lower case."""
    keep_headings: bool = True
    max_brackets: int = 1_000_000
    """Work budget of a page: pairs of brackets, and brackets without a pair. A count and no time, so that the same
    pages are refused on every machine. The largest pages of the Japanese Wikipedia have some 50,000."""
    max_growth: int = 1_000_000
    """Characters by which templates may make a page longer, beyond its own length."""

    def plain_text(self, wikitext: str, title: str = "", losses: Losses | None = None) -> str:
        """The text of a page as a reader sees it, without what is no running text.

        Args:
            wikitext: lines end with \\n.
            title: of the page, for `{{PAGENAME}}`.
            losses: is added to.

        Raises:
            TooComplex: more than `max_brackets`; templates that add more than `max_growth`, or with arguments by the
                hundred thousand.
        """
        losses = Losses() if losses is None else losses
        text = "\n" + without_marks(wikitext)
        text = without_opaque(text, losses.removed)
        text = without_conversions(text, losses.removed)
        if text.count("[[") + text.count("{{") > self.max_brackets:
            raise TooComplex
        substitution = Substitution(self.templates, title, losses, len(text) + self.max_growth)
        text = without_simple_brackets(text, substitution)
        spans = spans_of(text, self.max_brackets)
        text = Renderer(text, spans, substitution).run()
        text = without_inline_markup(text, losses.removed)
        text = repaired(unescaped(text))
        text = plain_lines(text, self.cut_sections, self.keep_headings, losses.removed)
        return restored(text).strip()


_DEFAULT = Extractor()


def plain_text(wikitext: str, title: str = "", losses: Losses | None = None) -> str:
    """`Extractor.plain_text` with the defaults."""
    return _DEFAULT.plain_text(wikitext, title, losses)
