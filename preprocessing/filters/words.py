"""Words of a list: adult, discrimination, violence, advertising, or the user's own. Never one word alone."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, NonNegativeInt

from jp_llm.runtime.plugin import nearest
from preprocessing.document import Document
from preprocessing.step import Filter
from preprocessing.text.words import FOLDER, WordFinder, read_word_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preprocessing.text.words import Found


class WordsFilter(Filter):
    """Drops a document under the name of the list, if one of the limits is passed; at least one must be set.

    Text and words are compared without regard to width and case. Of words that overlap, the first and longest counts.
    """

    of: str
    """A list in preprocessing/word_lists (ads, adult, discrimination, violence), or a file of your own that ends with
    .txt: UTF-8, one word per line, # begins a comment."""
    maximum_hits: NonNegativeInt | None = None
    """More occurrences are dropped."""
    maximum_distinct: NonNegativeInt | None = None
    """More different words are dropped."""
    below_share: float | None = Field(default=None, gt=0, le=1)
    """The characters of all hits must stay below this share of the Japanese letters (`preprocessing.text.letters`)."""
    stand_alone: bool = True
    """Katakana words do not count inside of longer katakana (アス in アスパラガス), nor Latin ones in Latin words."""

    def problems(self) -> list[str]:
        found = []
        if self.maximum_hits is None and self.maximum_distinct is None and self.below_share is None:
            found.append("maximum_hits: set at least one of maximum_hits, maximum_distinct and below_share")
        if not self.of.endswith(".txt") and not self._path.is_file():
            names = sorted(path.stem for path in FOLDER.glob("*.txt"))
            return [*found, f"of: no list {self.of!r} in preprocessing/word_lists{nearest(self.of, names)}"]
        try:
            if not read_word_list(self._path):
                found.append(f"of: {self._path} holds no words")
        except (OSError, UnicodeDecodeError) as error:
            found.append(f"of: {self._path}: {getattr(error, 'strerror', None) or 'no UTF-8'}")
        return found

    def files(self) -> tuple[str, ...]:
        return (self.of,) if self.of.endswith(".txt") else ()

    @property
    def _path(self) -> Path:
        return Path(self.of) if self.of.endswith(".txt") else FOLDER / f"{self.of}.txt"

    @cached_property
    def _finder(self) -> WordFinder:
        return WordFinder(read_word_list(self._path), stand_alone=self.stand_alone)

    def reason(self, document: Document) -> str | None:
        view = document.view
        found = tuple(self._finder.find(*view.folded, view.folded_pairs))
        if found and self._is_too_much(found, document):
            return self._path.stem
        return None

    def _is_too_much(self, found: "Sequence[Found]", document: Document) -> bool:
        if self.maximum_hits is not None and len(found) > self.maximum_hits:
            return True
        if self.maximum_distinct is not None and len({hit.word for hit in found}) > self.maximum_distinct:
            return True
        if self.below_share is None:
            return False
        characters = sum(len(hit.word) for hit in found)
        return characters >= self.below_share * document.view.japanese_letters
