"""What steps need to know of a text, computed once for all of them."""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.characters import CharacterClass, Codes, class_table, codes_of
from preprocessing.text.folding import folded
from preprocessing.text.letters import letter_counts
from preprocessing.text.sentences import sentences, without_blank_lines
from preprocessing.text.words import pairs_of


class TextView:
    """A text and what has been asked about it so far."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def codes(self) -> Codes:
        """Code points, uint32 [characters], read-only."""
        return codes_of(self.text)

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """`CharacterClass` of each character, uint8 [characters]."""
        return class_table()[self.codes]

    @cached_property
    def class_counts(self) -> NDArray[np.int64]:
        """Characters of each `CharacterClass`, int64 [classes]."""
        return np.bincount(self.classes, minlength=len(CharacterClass)).astype(np.int64)

    @cached_property
    def lines(self) -> list[str]:
        """Lines without their line ends."""
        return self.text.split("\n")

    @cached_property
    def letter_counts(self) -> NDArray[np.int64]:
        """Characters of each `Letter` of Swallow, int64 [letters]."""
        return letter_counts(self.codes)

    @cached_property
    def japanese_letters(self) -> int:
        """Hiragana, katakana, kanji and 、，。．！？ as Swallow counts them."""
        return int(self.letter_counts[1:].sum())

    @cached_property
    def sentences(self) -> list[str]:
        """See `preprocessing.text.sentences`."""
        return sentences(self.text)

    @cached_property
    def folded(self) -> tuple[str, Codes]:
        """The text in one spelling for comparison, and its code points. See `preprocessing.text.folding`."""
        return folded(self.text, self.codes)

    @cached_property
    def folded_pairs(self) -> NDArray[np.uint32]:
        """Numbers for the neighbours in the folded text, which all word lists share."""
        return pairs_of(self.folded[1])

    @cached_property
    def without_blank_lines(self) -> Self:
        """The same without lines that hold nothing but spaces."""
        text = without_blank_lines(self.text)
        return self if text is self.text else type(self)(text)
