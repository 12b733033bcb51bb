"""What is left of links, names and hashtags in a tweet."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from preprocessing.document import Document
from preprocessing.step import Mapper

# What an entity of each kind begins with: spans that another mapper has moved show by it.
_BEGINS = {"urls": ("http", "t.co", "pic.t"), "mentions": ("@", "＠"), "hashtags": ("#", "＃")}
_PATTERNS = {
    "urls": re.compile(
        r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+|(?<![A-Za-z0-9.])(?:t\.co|pic\.twitter\.com)/[A-Za-z0-9]+"
    ),
    "mentions": re.compile(r"(?<![A-Za-z0-9_!@#$%&*＠.])[@＠][A-Za-z0-9_]{1,15}(?![A-Za-z0-9_@＠])"),
    "hashtags": re.compile(r"(?<![\w&/])[#＃](?=\w*[^\W\d_])\w+"),
}
_Entity = tuple[int, int, str]
"""Start, end and kind."""


class TweetTextMapper(Mapper):
    """Links go, names become one token: by the `spans` that the reader `tweets` found, and by pattern beside them.
    Stands before other mappers, which would move the spans. (Stretched characters are for `repeats`.)

    Tallies `urls`, `mentions` and `hashtags`.
    """

    mention: str = "@user"
    """What an @name becomes; empty removes it."""
    leading_mentions: bool = False
    """Also keep those at the start, which say whom a reply is for; otherwise they go."""
    hashtags: Literal["keep", "words", "remove"] = "words"
    """words: without the sign."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        text = document.text
        if entities := _entities(document):
            return "".join(self._parts(text, entities, tally)).strip(" \n")
        return text

    def _parts(self, text: str, entities: list[_Entity], tally: Counter[str]) -> Iterator[str]:
        """The pieces of the new text."""
        done, leading = 0, True
        for start, end, kind in entities:
            between = text[done:start]
            _, newline, rest = between.rpartition("\n")
            leading = (leading or bool(newline)) and not rest.strip(" ")
            stays = self._replacement(kind, text[start:end], leading)
            leading = leading and not stays
            # One of the two spaces around what goes.
            yield between if stays or not rest.endswith(" ") else between[:-1]
            yield stays
            if stays != text[start:end]:
                tally[kind] += 1
            done = end
        yield text[done:]

    def _replacement(self, kind: str, entity: str, leading: bool) -> str:
        if kind == "urls":
            return ""
        if kind == "mentions":
            return "" if leading and not self.leading_mentions else self.mention
        return {"keep": entity, "words": entity[1:], "remove": ""}[self.hashtags]


def _entities(document: Document) -> list[_Entity]:
    """Entities in order, without overlap; where both say something, spans come first."""
    text = document.text
    found = [
        (start, end, 0, kind)
        for kind, spans in document.meta.get("spans", {}).items()
        for start, end in spans
        if kind in _BEGINS and text.startswith(_BEGINS[kind], start, end)
    ]
    for kind, pattern in _PATTERNS.items():
        if any(sign in text for sign in _BEGINS[kind]):
            found += [(*match.span(), 1, kind) for match in pattern.finditer(text)]
    kept: list[_Entity] = []
    done = 0
    for start, end, _, kind in sorted(found, key=lambda item: (item[0], item[2])):
        if start >= done:
            kept.append((start, end, kind))
            done = end
    return kept
