"""The same again and again: lines, character n-grams, one character.

For the limits of published rules see the presets; `duplicate_ngrams` and `frequent_ngrams` count as Swallow does.
Limits for words (Gopher, FineWeb-2) are not limits for characters.
"""

from pydantic import Field, PositiveInt

from preprocessing.document import Document
from preprocessing.filters._limits import SharesBySize, without_limits
from preprocessing.step import Filter
from preprocessing.text.ngrams import duplicated, frequent, has_run, top_share


class RepetitionFilter(Filter):
    """Drops `duplicate_lines`, `frequent_ngram`, `duplicate_ngrams`, `top_ngrams` and `one_character`.

    Lines that hold nothing but spaces do not count, nor for the n-grams. Null, and an empty {}, check nothing.
    """

    maximum_duplicate_lines: float | None = Field(default=None, ge=0, le=1)
    """Highest share of lines that repeat an earlier line."""
    maximum_duplicate_line_characters: float | None = Field(default=None, ge=0, le=1)
    """Highest share of their characters among all characters but line ends."""
    frequent_ngrams: SharesBySize = Field(default={})
    """Size -> highest share of the most frequent character n-gram."""
    duplicate_ngrams: SharesBySize = Field(default={})
    """Size -> highest share of character n-grams that occur more than once among the different ones."""
    top_ngrams: SharesBySize = Field(default={})
    """Size -> share of occurrences that must not be reached by the sqrt(V) most frequent of V different n-grams. Short
    texts have low shares whatever they say, long ones high shares."""
    maximum_run: PositiveInt | None = None
    """Longest run of one character, spaces included."""

    def problems(self) -> list[str]:
        return without_limits(self, RepetitionFilter.model_fields)

    def reason(self, document: Document) -> str | None:
        view = document.view.without_blank_lines
        if self._lines_repeat(view.lines):
            return "duplicate_lines"
        if frequent(view.codes, self.frequent_ngrams) is not None:
            return "frequent_ngram"
        if duplicated(view.codes, self.duplicate_ngrams) is not None:
            return "duplicate_ngrams"
        if any(top_share(view.codes, size) >= limit for size, limit in self.top_ngrams.items()):
            return "top_ngrams"
        if self.maximum_run is not None and has_run(document.view.codes, self.maximum_run + 1):
            return "one_character"
        return None

    def _lines_repeat(self, lines: list[str]) -> bool:
        if self.maximum_duplicate_lines is None and self.maximum_duplicate_line_characters is None:
            return False
        different = set(lines)
        further = len(lines) - len(different)
        if not further:
            return False
        if self.maximum_duplicate_lines is not None and further > self.maximum_duplicate_lines * len(lines):
            return True
        if self.maximum_duplicate_line_characters is None:
            return False
        characters = sum(map(len, lines))
        return characters - sum(map(len, different)) > self.maximum_duplicate_line_characters * characters
