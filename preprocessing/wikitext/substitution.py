"""What a template of a page becomes, counted where it is nothing, and bounded where it is more than it was."""

from collections.abc import Mapping

from preprocessing.wikitext.brackets import TooComplex
from preprocessing.wikitext.formats import parts_of
from preprocessing.wikitext.losses import Losses
from preprocessing.wikitext.marks import HOLE
from preprocessing.wikitext.templates import Rule, Templates

MAX_ARGUMENTS = 100_000
"""Of a template. Some hundreds are many; millions, of a page that is nothing but `|`, would fill the memory."""


class Substitution:
    """The templates of one page.

    A format may name an argument twice, and templates in each other would then double a text at every level; a page
    may name its own long title again and again. So a budget is kept of the characters by which texts are longer than
    the templates that they stand for.
    """

    def __init__(self, templates: Templates, title: str, losses: Losses, max_growth: int) -> None:
        self._templates = templates
        self._title = title
        self._growth = max_growth
        self.losses = losses

    def rule(self, name: str) -> Rule:
        """What becomes of the template that is called by `name`."""
        return self._templates.rule(name, self._title)

    def dropped(self, rule: Rule) -> str:
        """Of a template that leaves nothing."""
        self.losses.removed["template"] += 1
        if not rule.known:
            self.losses.unknown_templates[rule.name] += 1
        return HOLE

    def text(self, rule: Rule, arguments: Mapping[str, str], length: int) -> str:
        """Of a template that carries text.

        Args:
            arguments: name, or number of an unnamed one -> value, in their order.
            length: of the template as it is written, with what its arguments have become already.

        Raises:
            TooComplex: the page has become too long.
        """
        form = rule.form(arguments) if callable(rule.form) else rule.form
        if form is None:
            return self.dropped(rule)
        parts = parts_of(form, arguments)
        growth = sum(map(len, parts)) - length
        if growth > 0:
            self._growth -= growth
            if self._growth < 0:
                raise TooComplex
        return "".join(parts)
