"""neologdn (https://github.com/ikegami-yukino/neologdn), for those whose other data went through it."""

from collections import Counter
from importlib.util import find_spec
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from preprocessing.document import Document
from preprocessing.step import Mapper


class NeologdnMapper(Mapper):
    """`neologdn.normalize` with its own defaults, which lose information: read docs/normalisation.md first.

    For tweets take `tilde: normalize_zenkaku` and `remove_space: false`; for books and web pages do not take it.
    """

    repeat: NonNegativeInt = 0
    """Runs of a character, or of a string, are cut to this many; 0 leaves them. Slow."""
    max_repeat_substr_length: PositiveInt = 8
    """Longest string of which `repeat` cuts runs."""
    remove_space: bool = True
    """Spaces between Japanese words, and between those and Latin ones, go: 東京 と 大阪 becomes 東京と大阪."""
    tilde: Literal["remove", "normalize", "normalize_zenkaku", "ignore"] = "remove"
    """remove turns 1995〜2001年 into 19952001年. normalize: ~. normalize_zenkaku: 〜. ignore: as it is."""

    def problems(self) -> list[str]:
        if find_spec("neologdn") is None:
            return ["type: neologdn needs the package of that name: pip install neologdn"]
        return []

    def map(self, document: Document, tally: Counter[str]) -> str:
        import neologdn

        text: str = neologdn.normalize(
            document.text,
            repeat=self.repeat,
            remove_space=self.remove_space,
            max_repeat_substr_length=self.max_repeat_substr_length,
            tilde=self.tilde,
        )
        return text
