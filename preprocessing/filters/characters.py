"""Is it Japanese? Decided by the share of kana and kanji, which needs no model."""

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter


class CharactersFilter(Filter):
    """Drops `not_japanese` (few kana and kanji) and `no_hiragana` (Chinese, or lists of names).

    Old laws and telegrams written in kanji and katakana have no hiragana: set `minimum_hiragana` to 0 for them.
    """

    minimum_japanese: float = Field(default=0.5, ge=0, le=1)
    """Least share of hiragana, katakana and kanji among all characters but spaces."""
    minimum_hiragana: float = Field(default=0.1, ge=0, le=1)
    """Least share of hiragana among hiragana, katakana and kanji."""

    def reason(self, document: Document) -> str | None:
        other, _, hiragana, katakana, kanji = document.view.class_counts.tolist()
        japanese = hiragana + katakana + kanji
        if japanese < self.minimum_japanese * (other + japanese):
            return "not_japanese"
        if hiragana < self.minimum_hiragana * japanese:
            return "no_hiragana"
        return None
