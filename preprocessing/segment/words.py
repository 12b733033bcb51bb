"""Words of Japanese text by a morphological analyser: `mecab.py`, `sudachi.py`, `jumanpp.py`.

All are optional, and all are slow beside everything else here; they serve the training of tokenizers and files of
segmented text, never the cleaning of a corpus.
"""

import importlib.util
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, get_args

from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.batches import batches
from preprocessing.segment.sentences import cut

SplitterName = Literal["mecab", "sudachi_a", "sudachi_b", "sudachi_c", "jumanpp"]
"""MeCab with UniDic; Sudachi in its modes A (short units), B and C (named entities); Juman++."""

_CONTROLS = {code: " " for code in (*range(0x20), 0x7F)}
"""To the analysers, which end a text at a NUL or a newline, these are spaces."""
_BATCH_CHARACTERS = 1 << 19


class WordSplitter(ABC):
    """Divides text into words, which joined are the text: whitespace is part of them, as words of its own."""

    max_bytes = 48_000
    """UTF-8 that the analyser gets at once; longer texts are cut behind sentences. (Sudachi refuses 49,150.)"""

    def words(self, sentence: str) -> list[str]:
        """The words of one text. (Juman++ is started anew by every call: give it batches.)"""
        return self.batch([sentence])[0]

    def batch(self, sentences: Sequence[str]) -> list[list[str]]:
        """The words of each text.

        Raises:
            UserError: the analyser failed.
        """
        masked = [sentence.translate(_CONTROLS) for sentence in sentences]
        pieces = [list(cut(text, self.max_bytes)) for text in masked]
        surfaces = iter(self._surfaces([piece for texts in pieces for piece in texts]))
        found = []
        for sentence, texts in zip(sentences, pieces, strict=True):
            words: list[str] = []
            start = 0
            for piece in texts:
                for length in _lengths(piece, next(surfaces)):
                    words.append(sentence[start : start + length])
                    start += length
            found.append(words)
        return found

    def split(self, sentences: Iterable[str]) -> Iterator[list[str]]:
        """The words of each of any number of texts, in order; half a million characters or so are held at once."""
        for batch in batches(sentences, _BATCH_CHARACTERS):
            yield from self.batch(batch)

    @abstractmethod
    def _surfaces(self, texts: Sequence[str]) -> list[list[str]]:
        """What the analyser takes for words of each text, in order; it may leave out whitespace."""


@lru_cache
def word_splitter(name: SplitterName) -> WordSplitter:
    """The splitter of this name; loaded once per process.

    Raises:
        UserError: it is not installed (`missing`).
    """
    if problem := missing(name):
        raise UserError(problem)
    if name == "mecab":
        from preprocessing.segment.mecab import MeCab

        return MeCab()
    if name == "jumanpp":
        from preprocessing.segment.jumanpp import Jumanpp

        return Jumanpp()
    from preprocessing.segment.sudachi import Sudachi

    return Sudachi(name[-1].upper())


def missing(name: str) -> str | None:
    """What must be installed before a splitter of this name can be used; None if nothing. Loads nothing."""
    if name not in get_args(SplitterName):
        return f"no word splitter {name!r}; known: {', '.join(get_args(SplitterName))}"
    if name == "jumanpp":
        return None if shutil.which("jumanpp") else "jumanpp: no such program in PATH; install Juman++ 2, or use mecab"
    packages = ("fugashi", "unidic_lite") if name == "mecab" else ("sudachipy", "sudachidict_core")
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    return f"{name} needs {' and '.join(absent)}: pip install 'jp-llm[corpus]'" if absent else None


def _lengths(text: str, surfaces: Iterable[str]) -> Iterator[int]:
    """Characters of each word of `text`: the surfaces where they stand, and what lies between and behind them."""
    end = 0
    for surface in surfaces:
        start = text.find(surface, end)
        if start < 0 or not surface:
            continue
        if start > end:
            yield start - end
        yield len(surface)
        end = start + len(surface)
    if end < len(text):
        yield len(text) - end
