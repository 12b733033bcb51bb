"""How far the text can be compressed: repetition compresses well, noise and lists of names do not."""

import zlib

from pydantic import Field, PositiveFloat, PositiveInt

from preprocessing.document import Document
from preprocessing.filters._limits import crossed
from preprocessing.step import Filter


class CompressionFilter(Filter):
    """Drops `repetitive` and `incompressible`: zlib bytes per UTF-8 byte outside of the limits.

    Limits hold for zlib alone (those for LZ4 are others), and for texts of some 1,000 characters: short ones compress
    badly, long ones well.
    """

    minimum: PositiveFloat = 0.3
    """Lower is repetitive."""
    maximum: PositiveFloat = 0.7
    """Higher is incompressible; texts of a few words reach 1 and more."""
    level: int = Field(default=9, ge=1, le=9)
    """Of zlib. 9 is that of the published limits; 1 is twice as fast and gives other ratios."""
    first_bytes: PositiveInt = 1 << 20
    """Only so much of a long text is compressed."""

    def problems(self) -> list[str]:
        return crossed(self, "minimum", "maximum")

    def reason(self, document: Document) -> str | None:
        data = document.text.encode("utf-8", "surrogatepass")[: self.first_bytes]
        if not data:
            return "incompressible"
        ratio = len(zlib.compress(data, self.level)) / len(data)
        if ratio < self.minimum:
            return "repetitive"
        return "incompressible" if ratio > self.maximum else None
