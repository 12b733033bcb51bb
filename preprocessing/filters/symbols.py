"""Too many characters that are neither letters nor digits: tables, ASCII art, rows of stars."""

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter
from preprocessing.text.characters import symbol_table


class SymbolsFilter(Filter):
    """Drops `symbols`: punctuation, signs, emoji, spaces and controls beyond a share.

    The marks of ordinary Japanese text, 、 and 。, do not count; nor do line ends.
    """

    maximum: float = Field(default=0.4, ge=0, le=1)
    """Highest share among all characters but line ends."""

    def reason(self, document: Document) -> str | None:
        codes = document.view.codes
        ends = document.text.count("\n")
        symbols = int(symbol_table()[codes].sum())
        return "symbols" if symbols > self.maximum * (len(codes) - ends) else None
