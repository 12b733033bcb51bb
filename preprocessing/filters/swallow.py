"""The rules of Swallow Corpus Version 1 (Okazaki et al., 2024, arXiv:2404.17733), as its code applies them.

Source: quality.py, `apply_v1`. The definitions that matter, where code and description differ the code:

    letters     all code points, line ends included
    Japanese    see preprocessing.text.letters
    sentences   see preprocessing.text.sentences
    paragraphs  lines, as the sentences found in them
    duplicates  the copies behind the first one, among all sentences or paragraphs, or their characters among all
    duplicate n-grams   different n-grams that occur more than once among all different n-grams (the description counts
                occurrences: `ngrams: occurrences`)
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from preprocessing.document import Document
from preprocessing.filters._limits import SharesBySize, crossed
from preprocessing.step import Filter
from preprocessing.text.ngrams import duplicated, frequent
from preprocessing.text.sentences import paragraphs
from preprocessing.text.view import TextView

_ELLIPSES = ("・", "…")


class SwallowFilter(Filter):
    """Drops what Swallow drops, under the first of these reasons: `too_short`, `few_japanese`, `little_hiragana`,
    `much_katakana`, `not_japanese`, `short_sentences`, `long_sentences`, `long_sentence`, `ellipses`,
    `duplicate_paragraphs`, `duplicate_sentences`, `frequent_ngram`, `duplicate_ngrams`.

    Text without a sentence or with fewer than 4 characters, where the published code fails, is `too_short`.
    """

    blank_lines: Literal["drop", "count"] = "drop"
    """drop: the rules do not see lines without characters. count: as published, every empty line but the first is a
    duplicate paragraph, so that 20 different paragraphs with empty lines between them are dropped."""
    ngrams: Literal["types", "occurrences"] = "types"
    """types: as in the published code. occurrences: as in its description, which is stricter."""
    minimum_letters: NonNegativeInt = 400
    """Least number of characters."""
    minimum_japanese_letters: NonNegativeInt = 400
    """Least number of Japanese letters."""
    minimum_hiragana: float = Field(default=0.2, ge=0, le=1)
    """Least share of hiragana among Japanese letters."""
    maximum_katakana: float = Field(default=0.5, ge=0, le=1)
    """Highest share of katakana among Japanese letters."""
    minimum_japanese: float = Field(default=0.5, ge=0, le=1)
    """Least share of Japanese letters among all characters."""
    minimum_mean_sentence: PositiveFloat = 20
    """Least mean length of sentences, in characters."""
    maximum_mean_sentence: PositiveFloat = 90
    """Highest mean length of sentences."""
    maximum_sentence: PositiveFloat = 200
    """Length of the longest sentence; rejects much of law, recipes and dialogue."""
    maximum_ellipses: float = Field(default=0.2, ge=0, le=1)
    """Highest share of sentences that end in ・ or …"""
    maximum_duplicates: float = Field(default=0.3, ge=0, le=1)
    """Highest share of duplicate paragraphs among paragraphs, and of duplicate sentences among sentences."""
    maximum_duplicate_characters: float = Field(default=0.2, ge=0, le=1)
    """Highest share of their characters."""
    frequent_ngrams: SharesBySize = Field(default={2: 0.20, 3: 0.18, 4: 0.16})
    """Size -> highest share of the most frequent character n-gram among the n-grams of that size."""
    duplicate_ngrams: SharesBySize = Field(default={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10})
    """Size -> highest share of character n-grams that occur more than once."""

    def problems(self) -> list[str]:
        return crossed(self, "minimum_mean_sentence", "maximum_mean_sentence")

    def reason(self, document: Document) -> str | None:
        view = document.view if self.blank_lines == "count" else document.view.without_blank_lines
        return self._of_letters(view) or self._of_sentences(view) or self._of_duplicates(view) or self._of_ngrams(view)

    def _of_letters(self, view: TextView) -> str | None:
        letters = len(view.text)
        _, hiragana, katakana, _, _ = view.letter_counts.tolist()
        japanese = view.japanese_letters
        if letters < max(self.minimum_letters, 4):
            return "too_short"
        if japanese < self.minimum_japanese_letters:
            return "few_japanese"
        if japanese / letters < self.minimum_japanese:
            return "not_japanese"
        if (hiragana / japanese if japanese else 0.0) < self.minimum_hiragana:
            return "little_hiragana"
        if (katakana / japanese if japanese else 0.0) > self.maximum_katakana:
            return "much_katakana"
        return None

    def _of_sentences(self, view: TextView) -> str | None:
        sentences = view.sentences
        if not sentences:
            return "too_short"
        lengths = list(map(len, sentences))
        mean = sum(lengths) / len(lengths)
        if mean < self.minimum_mean_sentence:
            return "short_sentences"
        if mean > self.maximum_mean_sentence:
            return "long_sentences"
        if max(lengths) > self.maximum_sentence:
            return "long_sentence"
        if not any(mark in view.text for mark in _ELLIPSES):
            return None
        ellipses = sum(sentence.strip().endswith(_ELLIPSES) for sentence in sentences)
        return "ellipses" if ellipses / len(sentences) > self.maximum_ellipses else None

    def _of_duplicates(self, view: TextView) -> str | None:
        if self._much_is_duplicate(paragraphs(view.text)):
            return "duplicate_paragraphs"
        return "duplicate_sentences" if self._much_is_duplicate(view.sentences) else None

    def _much_is_duplicate(self, items: Sequence[str]) -> bool:
        different = set(items)
        if len(different) == len(items):
            return False
        if (len(items) - len(different)) / len(items) > self.maximum_duplicates:
            return True
        characters = sum(map(len, items))
        further = characters - sum(map(len, different))
        return characters > 0 and further / characters > self.maximum_duplicate_characters

    def _of_ngrams(self, view: TextView) -> str | None:
        if frequent(view.codes, self.frequent_ngrams) is not None:
            return "frequent_ngram"
        occurrences = self.ngrams == "occurrences"
        if duplicated(view.codes, self.duplicate_ngrams, occurrences=occurrences) is not None:
            return "duplicate_ngrams"
        return None
