"""Text that was decoded with the wrong encoding somewhere before it reached us."""

import re

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter

# What the kana of one encoding look like in another: characters without which a pattern cannot match (looked for first,
# much faster), and a pattern of stretches that real text does not have.
_PATTERNS = (
    # UTF-8 read as CP932: the lead bytes E3 81, E3 82, E3 83 of kana are 縺, 繧, 繝, and half-width kana fill the rest.
    ("縺繧繝", re.compile("[縺繧繝].{0,2}(?=[縺繧繝])")),
    # UTF-8 read as Latin-1 or Windows-1252: E3 is ã, then 81, 82 (‚) or 83 (ƒ).
    ("ã", re.compile("ã[\x80-\x83\u20ac\u201a\u0192][\x80-\xff\u0152-\u2122]?")),
    # EUC-JP read as CP932: every second character is ､ or ･ (A4, A5).
    ("､･", re.compile("(?:[､･][｡-ﾟ]){3,}")),
    # CP932 read as Latin-1 or Windows-1252: every second character is byte 82 or 83.
    ("\x82\x83\u201a\u0192", re.compile("(?:[\x82\x83\u201a\u0192][^\\s\u3040-\u9fff]){3,}")),
)
_REPLACEMENT = "\ufffd"


class MojibakeFilter(Filter):
    """Drops `mojibake` (decoded as something else) and `replacement_characters` (decoded with errors replaced).

    Stands before mappers: they mend half-width kana and remove controls, which is what mojibake consists of.
    """

    maximum_replacement: float = Field(default=0.001, ge=0, le=1)
    """Highest share of U+FFFD among the characters."""
    maximum_mojibake: float = Field(default=0.02, ge=0, le=1)
    """Highest share of characters inside stretches that only a wrong encoding makes."""

    def reason(self, document: Document) -> str | None:
        text = document.text
        found = sum(
            len(match[0])
            for signs, pattern in _PATTERNS
            if any(sign in text for sign in signs)
            for match in pattern.finditer(text)
        )
        if found > self.maximum_mojibake * len(text):
            return "mojibake"
        return "replacement_characters" if text.count(_REPLACEMENT) > self.maximum_replacement * len(text) else None
