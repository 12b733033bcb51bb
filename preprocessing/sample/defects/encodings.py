"""Whole texts that were decoded with the wrong encoding, or with characters lost on the way."""

from random import Random

from preprocessing.sample.document import Defect

REPLACEMENT = "\ufffd"
_WAYS = (("utf-8", "cp932"), ("utf-8", "latin-1"), ("cp932", "latin-1"), ("euc-jp", "cp932"))
"""(written in, read as)"""


def mojibake(rng: Random, text: str) -> tuple[str, Defect]:
    """`text` written in one encoding and read as another, with U+FFFD for what has no meaning there."""
    written, read = rng.choice(_WAYS)
    raw = text.encode(written, errors="ignore").decode(read, errors="replace")
    details = {"written": written, "read": read, "original": text}
    return raw, Defect("mojibake", details=details)


def replacement_characters(rng: Random, text: str) -> tuple[str, tuple[Defect, ...]]:
    """`text` with 1 to 4 of 100 characters lost."""
    places = sorted(rng.sample(range(len(text)), max(3, int(len(text) * rng.uniform(0.01, 0.04)))))
    characters = list(text)
    for place in places:
        characters[place] = REPLACEMENT
    defects = tuple(Defect("replacement_character", place, place + 1, REPLACEMENT, text[place]) for place in places)
    return "".join(characters), defects
