"""Sudachi with its core dictionary."""

from collections.abc import Sequence

from preprocessing.segment.words import WordSplitter


class Sudachi(WordSplitter):
    """Words in one of the modes A (short units), B and C (named entities), at some 1.5 MB/s."""

    def __init__(self, mode: str) -> None:
        import sudachipy

        dictionary = sudachipy.Dictionary(dict="core")
        # Its name since 0.7; `create` before.
        make = getattr(dictionary, "tokenizer", None) or dictionary.create
        self._tokenizer = make(getattr(sudachipy.SplitMode, mode))

    def _surfaces(self, texts: Sequence[str]) -> list[list[str]]:
        return [[morpheme.surface() for morpheme in self._tokenizer.tokenize(text)] for text in texts]
