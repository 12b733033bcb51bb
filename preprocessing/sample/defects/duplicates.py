"""Near duplicates: the same document once more, with part of its sentences or words changed."""

import re
from random import Random

from preprocessing.sample.defects.distance import edit_distance

EDIT_RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Edits per character of the original that are aimed at; what came out is measured and recorded."""
_SENTENCE = re.compile(r"[^。\n]*[。\n]?")
_DIGIT = re.compile(r"[0-9]")
_COMMA = re.compile("、")
_RATE_LIMIT = 0.45


def nearly(rng: Random, original: str, donor: str, rate: float) -> tuple[str, int]:
    """A near duplicate of `original` about `rate` edits per character away, and its measured edit distance.

    Sentences are dropped, moved or replaced by sentences of `donor`, and digits and commas changed, as when a page is
    copied, shortened and updated.
    """
    budget = max(1, round(rate * len(original)))
    sentences = _SENTENCE.findall(original)
    foreign = [sentence for sentence in _SENTENCE.findall(donor) if sentence.endswith("。")] or ["続く。"]
    places = [place for place, sentence in enumerate(sentences) if sentence.endswith("。")]
    rng.shuffle(places)
    spent = 0
    for place in places:
        new = rng.choice((rng.choice(foreign), "", sentences[place] + rng.choice(foreign)))
        cost = edit_distance(sentences[place], new)
        if spent + cost <= budget:
            sentences[place] = new
            spent += cost
    shortened = re.sub("\n{2,}", "\n", "".join(sentences)).strip("\n")  # a paragraph may have gone
    text = _small_edits(rng, shortened, budget - spent)
    distance = edit_distance(original, text)
    if not 0 < distance <= _RATE_LIMIT * len(original):
        text = original.removesuffix("。") + "！"
        distance = edit_distance(original, text)
    return text, distance


def _small_edits(rng: Random, text: str, count: int) -> str:
    """Up to `count` single-character edits: other digits, dropped commas, other particles at the end."""
    places = [match.start() for pattern in (_DIGIT, _COMMA) for match in pattern.finditer(text)]
    characters = list(text)
    for place in rng.sample(places, min(count, len(places))):
        old = characters[place]
        characters[place] = "" if old == "、" else str((int(old) + rng.randint(1, 9)) % 10)
    return "".join(characters)
