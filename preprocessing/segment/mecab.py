"""MeCab with UniDic, through fugashi."""

from collections.abc import Sequence

from preprocessing.segment.words import WordSplitter


class MeCab(WordSplitter):
    """Short units of UniDic (unidic-lite, of 2013), at some 6 MB/s."""

    def __init__(self) -> None:
        import fugashi
        import unidic_lite  # type: ignore[import-untyped]

        # -r: a configuration of the machine must not decide.
        self._tagger = fugashi.GenericTagger(f'-r /dev/null -d "{unidic_lite.DICDIR}" -Owakati')

    def _surfaces(self, texts: Sequence[str]) -> list[list[str]]:
        # The whole line as one string: objects for the words would take twice as long.
        return [self._tagger.parse(text).split() for text in texts]
