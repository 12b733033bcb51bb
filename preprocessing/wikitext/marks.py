"""Signs that stand in a text while it is worked on: Unicode noncharacters, which no text may contain.

    HOLE     something was removed here that a reader of the page saw, or a comment
    NOTHING  keeps two signs of markup apart (`<nowiki/>`)
    BREAK    `<br>`: a line end that is no line end of the markup
    BROKEN   the beginning of a table that has no end
Signs of the markup that are meant as text (nowiki, entities) have stand-ins too, until the markup is gone.
"""

import re

HOLE, NOTHING, BREAK, BROKEN = "\ufdef", "\ufdee", "\ufded", "\ufdec"

_SIGNS = "[]{}|'=*#:;<>~_-!"
_SHELTER = {ord(sign): 0xFDD0 + place for place, sign in enumerate(_SIGNS)}
_APART = {ord(sign): _SHELTER[ord(sign)] for sign in "|="}
_RESTORE: dict[int, str | None] = {stand_in: chr(sign) for sign, stand_in in _SHELTER.items()}
_RESTORE |= {ord(mark): None for mark in (HOLE, NOTHING, BREAK, BROKEN)}
_ANY = re.compile("[\ufdd0-\ufdef]")
_ANY_BYTES = "\ufdd0".encode()[:2]
"""The first bytes of all of them in UTF-8."""


def sheltered(text: str) -> str:
    """`text` with stand-ins for the signs of the markup."""
    return text.translate(_SHELTER)


def apart(text: str) -> str:
    """`text` that may stand in the argument of a template: its `|` and `=` separate nothing."""
    return text.translate(_APART) if "|" in text or "=" in text else text


def restored(text: str) -> str:
    """`text` with the signs back, and without marks."""
    return text.translate(_RESTORE) if _ANY.search(text) else text


def without_marks(text: str) -> str:
    """A text from outside, which must not bring any of these along."""
    # To find two bytes is much faster than to look at every character.
    return _ANY.sub("", text) if _ANY_BYTES in text.encode("utf-8", "surrogatepass") else text
