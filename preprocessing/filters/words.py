"""Words of a list: adult, discrimination, violence, advertising, or the user's own. Never one word alone."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, field_validator

from jp_llm.runtime.plugin import nearest
from preprocessing.document import Document
from preprocessing.step import Filter
from preprocessing.text.folding import fold
from preprocessing.text.word_lists import FOLDER, read_words, word_list_problems
from preprocessing.text.words import WordFinder


class WordsFilter(Filter):
    """Drops a document under the name of the first list of which one of the limits is passed; at least one must be set.

    Text and words are compared without regard to width and case. Of words that overlap, the first and longest counts.
    """

    of: str | tuple[str, ...]
    """A list in preprocessing/word_lists (ads, adult, discrimination, violence), or a file of your own that ends with
    .txt: UTF-8, one word per line, `# ` begins a comment. Several lists in one step are each judged by the same limits;
    words are looked for together, which is faster than several steps: of words that overlap
    only one counts, whatever its list."""
    maximum_hits: NonNegativeInt | None = None
    """More occurrences are dropped."""
    maximum_distinct: NonNegativeInt | None = None
    """More different words are dropped."""
    below_share: float | None = Field(default=None, gt=0, le=1)
    """The characters of all hits must stay below this share of the Japanese letters (`preprocessing.text.letters`)."""
    stand_alone: bool = True
    """Katakana words do not count inside of longer katakana (アス in アスパラガス), nor Latin ones in Latin words."""

    @field_validator("of", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def problems(self) -> list[str]:
        found = []
        if self.maximum_hits is None and self.maximum_distinct is None and self.below_share is None:
            found.append("maximum_hits: set at least one of maximum_hits, maximum_distinct and below_share")
        names = sorted(path.stem for path in FOLDER.glob("*.txt"))
        for name in self._names:
            path = _path(name)
            if not name.endswith(".txt") and not path.is_file():
                found.append(f"of: no list {name!r} in preprocessing/word_lists{nearest(name, names)}")
                continue
            found += word_list_problems("of", str(path))
        stems = [_path(name).stem for name in self._names]
        found += [f"of: two lists are named {stem}" for stem in sorted(set(stems)) if stems.count(stem) > 1]
        return found if self._names else [*found, "of: name at least one list"]

    def files(self) -> tuple[str, ...]:
        return tuple(str(_path(name)) for name in self._names)

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.of,) if isinstance(self.of, str) else self.of

    @cached_property
    def _lists(self) -> dict[str, frozenset[str]]:
        """Reason -> the folded words."""
        return {_path(name).stem: frozenset(map(fold, read_words(str(_path(name))))) for name in self._names}

    @cached_property
    def _finder(self) -> WordFinder:
        return WordFinder(frozenset().union(*self._lists.values()), stand_alone=self.stand_alone)

    def reason(self, document: Document) -> str | None:
        view = document.view
        found = [hit.word for hit in self._finder.find(*view.folded, view.folded_pairs)]
        if not found:
            return None
        for name, words in self._lists.items():
            if self._are_too_many([word for word in found if word in words], document):
                return name
        return None

    def _are_too_many(self, found: Sequence[str], document: Document) -> bool:
        if self.maximum_hits is not None and len(found) > self.maximum_hits:
            return True
        if self.maximum_distinct is not None and len(set(found)) > self.maximum_distinct:
            return True
        if self.below_share is None or not found:
            return False
        return sum(map(len, found)) >= self.below_share * document.view.japanese_letters


def _path(name: str) -> Path:
    return Path(name) if name.endswith(".txt") else FOLDER / f"{name}.txt"
