"""Paraphrase: other ways to put a phrase, added to every template when it is read.

The phrases stand in `words/phrases/paraphrases.txt`, so that each need not be spelled out in every template: a literal
that holds one becomes a choice. The end of a literal is left alone where an inflected word may stand.
"""

import re
from collections.abc import Mapping
from functools import cache

from preprocessing.sample.lexicon import LONGEST_TAIL, WORDS


@cache
def _table() -> tuple[Mapping[str, tuple[str, ...]], re.Pattern[str]]:
    options: dict[str, tuple[str, ...]] = {}
    section = ""
    for line in (WORDS / "phrases" / "paraphrases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            section = line[2:]
        elif line and not line.startswith("#"):
            phrases = tuple(line.split())
            for phrase in phrases if section == "either" else phrases[:1]:
                options[phrase] = phrases
    return options, re.compile("|".join(map(re.escape, sorted(options, key=len, reverse=True))))


def split(text: str, *, last: bool) -> list[str | tuple[str, ...]]:
    """`text` as literals and choices in order; `last` says that it ends its template and may be inflected."""
    options, pattern = _table()
    limit = len(text) - (LONGEST_TAIL if last and text[-1:] not in "。」、¶" else 0)
    parts: list[str | tuple[str, ...]] = []
    position = 0
    for match in pattern.finditer(text):
        if match.end() > limit:
            break
        if match.start() > position:
            parts.append(text[position : match.start()])
        parts.append(options[match[0]])
        position = match.end()
    if position < len(text):
        parts.append(text[position:])
    return parts
