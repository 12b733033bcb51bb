"""Spelling: the same word in kanji, hiragana or katakana, as different writers prefer it.

Japanese has no fixed orthography for many words (子ども, 子供, こども). Every document draws one spelling of each word
of `words/phrases/spellings.txt` and keeps to it.
"""

import re
from functools import cache
from random import Random

from preprocessing.sample.lexicon import WORDS

_KANJI = "[一-鿿々]"


@cache
def _table() -> tuple[tuple[tuple[str, ...], ...], re.Pattern[str]]:
    lines = (WORDS / "phrases" / "spellings.txt").read_text(encoding="utf-8").splitlines()
    spellings = tuple(tuple(line.split()) for line in lines if line and not line.startswith("#"))
    first = sorted((words[0] for words in spellings), key=len, reverse=True)
    return spellings, re.compile("|".join(map(_alone, first)))


def _alone(word: str) -> str:
    """A pattern for `word` that does not cut through a longer word in kanji: 少し, but not in 減少し."""
    before = f"(?<!{_KANJI})" if re.match(_KANJI, word[0]) else ""
    after = f"(?!{_KANJI})" if re.match(_KANJI, word[-1]) else ""
    return before + re.escape(word) + after


def respell(rng: Random, text: str) -> str:
    """`text` in the spelling of one writer; the first spelling of each line is the one that templates use."""
    spellings, pattern = _table()
    chosen = {words[0]: words[int(rng.random() * len(words))] for words in spellings}
    return pattern.sub(lambda match: chosen[match[0]], text)
