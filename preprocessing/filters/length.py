"""Too short to learn from, or too long to be one text."""

from pydantic import NonNegativeInt, PositiveInt

from preprocessing.document import Document
from preprocessing.filters._limits import crossed
from preprocessing.step import Filter


class LengthFilter(Filter):
    """Counts characters (Unicode code points) of the text, spaces and line ends included."""

    minimum: NonNegativeInt = 1
    """Shorter documents are dropped."""
    maximum: PositiveInt | None = None
    """Longer documents are dropped; null sets no limit."""

    def problems(self) -> list[str]:
        return crossed(self, "minimum", "maximum")

    def reason(self, document: Document) -> str | None:
        if len(document.text) < self.minimum:
            return "too_short"
        if self.maximum is not None and len(document.text) > self.maximum:
            return "too_long"
        return None
