"""How much the steps before have left of the document: a page that was nearly all menu is no text."""

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter


class RemainderFilter(Filter):
    """Drops `mostly_removed`. Stands behind the mappers that remove lines."""

    minimum: float = Field(default=0.3, ge=0, le=1)
    """Least share of the characters that were read."""

    def reason(self, document: Document) -> str | None:
        return "mostly_removed" if len(document.text) < self.minimum * document.read_characters else None
