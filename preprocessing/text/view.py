"""What steps need to know of a text, computed once for all of them."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from preprocessing.text.characters import CharacterClass, Codes, class_table, codes_of


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
