"""What OSCAR says about a page: its warnings, its blocklists, its likeness to harmful text."""

from pydantic import PositiveFloat

from preprocessing.document import Document
from preprocessing.step import Filter


class OscarFilter(Filter):
    """Drops `warning_<name>`, `category_<name>` and `harmful` by what the reader `oscar` keeps of a page.

    Not among the defaults: `header`, `footer` and `tiny` count bytes or lines, and a Japanese line of 33 characters is
    short to them; `short_sentences` likewise.
    """

    warnings: tuple[str, ...] = ("adult", "noisy")
    """Quality warnings: tiny (under 5 lines), header, footer, noisy (half of it no letters), short_sentences, adult."""
    categories: tuple[str, ...] = ("adult", "agressif", "gambling", "malware", "phishing")
    """Blocklists of UT1 that hold the page's host, by their French names."""
    minimum_harmful_pp: PositiveFloat | None = None
    """Least perplexity under the model of harmful text; pages without one stay. No limit is known for Japanese;
    lm-datasets uses 25 for European languages."""

    def reason(self, document: Document) -> str | None:
        for name in self.warnings:
            if name in document.meta.get("quality_warnings", ()):
                return f"warning_{name}"
        for name in self.categories:
            if name in document.meta.get("categories", ()):
                return f"category_{name}"
        if self.minimum_harmful_pp is not None:
            perplexity = document.meta.get("harmful_pp")
            if isinstance(perplexity, int | float) and perplexity < self.minimum_harmful_pp:
                return "harmful"
        return None
