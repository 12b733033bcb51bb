"""Is there kana where it should be, and enough of Japanese at all? Shares among kana and kanji: `characters`."""

import re

from pydantic import Field, NonNegativeInt, PositiveInt

from preprocessing.document import Document
from preprocessing.step import Filter
from preprocessing.text.letters import Letter

_KANA = re.compile("[ぁ-んァ-ン]")


class ScriptFilter(Filter):
    """Drops `late_kana`, `little_hiragana` and `few_japanese`; null and 0 check nothing."""

    kana_within: PositiveInt | None = None
    """There must be one of ぁ-ん or ァ-ン among so many first characters. English heads of Japanese pages fail."""
    minimum_hiragana: float = Field(default=0, ge=0, le=1)
    """Least share of hiragana among all characters, spaces and line ends included."""
    minimum_japanese_letters: NonNegativeInt = 0
    """Least number of Japanese letters (`preprocessing.text.letters`)."""

    def problems(self) -> list[str]:
        if self.kana_within is None and not self.minimum_hiragana and not self.minimum_japanese_letters:
            return ["kana_within: set at least one of kana_within, minimum_hiragana and minimum_japanese_letters"]
        return []

    def reason(self, document: Document) -> str | None:
        if self.kana_within is not None and not _KANA.search(document.text, 0, self.kana_within):
            return "late_kana"
        view = document.view
        if self.minimum_hiragana:
            hiragana = int(view.letter_counts[Letter.HIRAGANA])
            if hiragana < self.minimum_hiragana * len(document.text):
                return "little_hiragana"
        if self.minimum_japanese_letters and view.japanese_letters < self.minimum_japanese_letters:
            return "few_japanese"
        return None
