"""Sentences that are too short or too long on average, break off, or have no full stop.

A sentence ends at a line end or with one of 。．！？!? (`preprocessing.text.sentences`). The kuten mapper should stand
before: text that is written with ．is not counted otherwise.
"""

from pydantic import Field, PositiveFloat, PositiveInt

from preprocessing.document import Document
from preprocessing.filters._limits import crossed, without_limits
from preprocessing.step import Filter

_ELLIPSES = ("…", "・・・", "...", "‥")


class SentencesFilter(Filter):
    """Drops `short_sentences`, `long_sentences`, `long_sentence`, `ellipses` and `rare_kuten`; null checks nothing."""

    minimum_mean: PositiveFloat | None = None
    """Least mean length, in characters."""
    maximum_mean: PositiveFloat | None = None
    """Highest mean length."""
    maximum: PositiveInt | None = None
    """Length of the longest sentence."""
    maximum_ellipses: float | None = Field(default=None, ge=0, le=1)
    """Highest share of sentences that end in …, ‥, ・・・ or three dots."""
    characters_per_kuten: PositiveInt | None = None
    """There must be at least one 。 for so many characters of the text, line ends included."""

    def problems(self) -> list[str]:
        return [*crossed(self, "minimum_mean", "maximum_mean"), *without_limits(self, SentencesFilter.model_fields)]

    def reason(self, document: Document) -> str | None:
        text = document.text
        if self.characters_per_kuten is not None and text.count("。") < len(text) / self.characters_per_kuten:
            return "rare_kuten"
        sentences = document.view.sentences
        if not sentences:
            return None
        lengths = list(map(len, sentences))
        mean = sum(lengths) / len(lengths)
        if self.minimum_mean is not None and mean < self.minimum_mean:
            return "short_sentences"
        if self.maximum_mean is not None and mean > self.maximum_mean:
            return "long_sentences"
        if self.maximum is not None and max(lengths) > self.maximum:
            return "long_sentence"
        if self.maximum_ellipses is not None:
            ellipses = sum(sentence.rstrip().endswith(_ELLIPSES) for sentence in sentences)
            if ellipses > self.maximum_ellipses * len(sentences):
                return "ellipses"
        return None
