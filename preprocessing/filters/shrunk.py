"""Documents of which the steps before left little: what remains was hardly the point of the page."""

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter


class ShrunkFilter(Filter):
    """Drops `lost` documents. Stands behind the steps that remove lines, and before those that judge the text."""

    maximum_lost: float = Field(default=0.7, ge=0, le=1)
    """Largest share of the characters as they were read that may be gone."""

    def reason(self, document: Document) -> str | None:
        # Compared by what is left: a step may also lengthen a text.
        kept = len(document.text)
        return "lost" if kept < (1 - self.maximum_lost) * document.read_characters - 1e-9 else None
