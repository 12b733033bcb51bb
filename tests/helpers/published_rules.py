"""Published rules, written down a second time as slowly and as literally as possible, to compare with.

`swallow` follows the definitions of quality.py in Swallow Corpus Version 1: n-grams are strings in a Counter.
"""

import re
from collections import Counter
from collections.abc import Sequence

FREQUENT = {2: 0.20, 3: 0.18, 4: 0.16}
DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
_MARKS = "。．！？!?"


def split_into_sentences(line: str) -> list[str]:
    """Character by character: a sentence ends with a mark; a mark with nothing before it is lost."""
    found, current = [], ""
    for character in line:
        if character not in _MARKS:
            current += character
        elif current:
            found.append(current + character)
            current = ""
    return [*found, current] if current else found


def ngrams(text: str, size: int) -> Counter[str]:
    """The n-grams of `text`."""
    return Counter(text[start : start + size] for start in range(len(text) - size + 1))


def duplicate_shares(items: Sequence[str]) -> tuple[float, float]:
    """Further copies among the items, and their characters among all characters."""
    counts = Counter(items)
    characters = sum(len(item) for item in items)
    further = sum(number - 1 for number in counts.values())
    in_them = sum((number - 1) * len(item) for item, number in counts.items())
    return further / len(items) if items else 0.0, in_them / characters if characters else 0.0


def swallow(text: str) -> bool:
    """Whether the published rules keep `text`. Raises where they do."""
    sentences = [sentence for line in text.split("\n") for sentence in split_into_sentences(line)]
    paragraphs = ["".join(split_into_sentences(line)) for line in text.split("\n")]
    of_paragraphs, of_sentences = duplicate_shares(paragraphs), duplicate_shares(sentences)
    tops = {size: ngrams(text, size).most_common(1)[0][1] / ngrams(text, size).total() for size in FREQUENT}
    duplicates = {}
    for size in DUPLICATE:
        counts = ngrams(text, size)
        duplicates[size] = sum(number > 1 for number in counts.values()) / len(counts) if counts else 0.0
    hiragana = len(re.findall("[ぁ-ゖ]", text))
    katakana = len(re.findall("[ァ-ヺ]", text))
    kanji = len(re.findall("[々〇〻\u3400-\u9fff\uf900-\ufaff]", text))
    japanese = hiragana + katakana + kanji + len(re.findall("[、，。．！？]", text))
    lengths = [len(sentence) for sentence in sentences]
    return (
        len(text) >= 400
        and max(of_paragraphs[0], of_sentences[0]) <= 0.30
        and max(of_paragraphs[1], of_sentences[1]) <= 0.20
        and all(tops[size] <= limit for size, limit in FREQUENT.items())
        and all(duplicates[size] <= limit for size, limit in DUPLICATE.items())
        and (hiragana / japanese if japanese else 0.0) >= 0.2
        and (katakana / japanese if japanese else 0.0) <= 0.5
        and japanese / len(text) >= 0.5
        and japanese >= 400
        and 20 <= sum(lengths) / len(lengths) <= 90
        and max(lengths) <= 200
        and sum(sentence.strip().endswith(("・", "…")) for sentence in sentences) / len(sentences) <= 0.2
    )
