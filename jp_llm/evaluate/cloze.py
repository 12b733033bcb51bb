"""Cloze items from held-out documents: a beginning, and several sentences of which one is its continuation.

The wrong sentences are real ones, from other documents of the same source and of about the same length, so neither
grammar nor style nor length gives the answer away. In the manner of story cloze (Mostafazadeh et al. 2016) and
HellaSwag (Zellers et al. 2019), but made from any text by rule, without people.
"""

import hashlib
import itertools
import random
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jp_llm.evaluate.config import ClozeConfig
from jp_llm.evaluate.interval import wilson
from jp_llm.evaluate.result import markdown_table, percent
from jp_llm.evaluate.score import continuation_nats, split_choices
from jp_llm.export.inference import LoadedModel
from jp_llm.runtime.errors import UserError
from jp_llm.texts.documents import Text

SHORTEST = 8
LONGEST = 100
"""Characters of a sentence that may be an answer."""
SHORTEST_CONTEXT = 30
"""Characters before it."""
MOST_PER_DOCUMENT = 8
"""Items of one document, so that a corpus of a few long novels has some, and one novel is not all of them."""
LENGTH_RATIO = 1.5
"""The wrong sentences are at most this many times longer, or shorter, than the right one."""
_FEW = 1000
"""Of more sentences of similar length so many are tried, drawn at random."""
_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]+[」』）)]*")


@dataclass(frozen=True)
class ClozeItem:
    """One question."""

    source: str
    context: str
    choices: tuple[str, ...]
    answer: int
    """Place of the right one among the choices."""


def cloze_items(texts: Iterable[Text], config: ClozeConfig) -> list[ClozeItem]:
    """At most `config.items` items of each source: one of every document, then a second one, and so on.

    Which document, which sentence, which other sentences and in which order follows from hashes of the documents: the
    same text gives the same items, whatever the order of documents and files. The candidates are held in memory.

    Raises:
        UserError: no source has enough documents with whole sentences for a single item.
    """
    candidates: dict[str, set[_Candidate]] = defaultdict(set)
    for text in texts:
        candidates[text.source].update(_candidates(text.text, config.context_characters))
    items: list[ClozeItem] = []
    for source in sorted(candidates):
        pool = sorted(candidates[source], key=lambda candidate: (candidate.rank, candidate.key))
        by_length = sorted(pool, key=lambda candidate: (len(candidate.sentence), candidate.key))
        lengths = [len(candidate.sentence) for candidate in by_length]
        made = (_item(source, candidate, by_length, lengths, config.choices) for candidate in pool)
        items += itertools.islice((item for item in made if item is not None), config.items)
    if not items:
        raise UserError(
            f"cloze.items: no source has {config.choices} documents with sentences of similar length "
            f"({SHORTEST} to {LONGEST} characters behind at least {SHORTEST_CONTEXT} others); name more data"
        )
    return items


def score_items(
    loaded: LoadedModel, items: Sequence[ClozeItem], *, context: int, batch_tokens: int
) -> dict[str, dict[str, Any]]:
    """{source, and "all": figures}. The answer of the model is the choice with the most log-likelihood per character.

    Raises:
        UserError: the context is too short for the choices.
    """
    pairs = [pair for item in items for pair in split_choices(loaded.tokenizer, item.context, item.choices)]
    longest = max(len(scored) for _, scored in pairs)
    if longest > context:
        raise UserError(f"context_tokens: {context} is too short for cloze items with sentences of {longest} tokens")
    nats = iter(continuation_nats(loaded, pairs, context=context, batch_tokens=batch_tokens))
    right: dict[str, list[bool]] = defaultdict(list)
    chance: dict[str, list[float]] = defaultdict(list)
    for item in items:
        per_character = [next(nats) / len(choice) for choice in item.choices]
        for key in {item.source, "all"}:
            right[key].append(per_character.index(min(per_character)) == item.answer)
            chance[key].append(1 / len(item.choices))
    return {
        key: {
            "items": len(found),
            "right": sum(found),
            "accuracy": sum(found) / len(found),
            "interval": wilson(sum(found), len(found)),
            "chance": sum(chance[key]) / len(found),
        }
        for key, found in sorted(right.items(), key=lambda entry: (entry[0] == "all", entry[0]))
    }


def cloze_table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row per source, then all together."""
    rows = [
        [
            source,
            f"{sums['items']:,}",
            percent(sums["accuracy"]),
            f"{percent(sums['interval'][0])} – {percent(sums['interval'][1])}",
            percent(sums["chance"]),
        ]
        for source, sums in found.items()
    ]
    return markdown_table(("source", "cloze items", "accuracy", "95 % interval", "chance"), rows)


@dataclass(frozen=True)
class _Candidate:
    document: str
    """Hash of the document."""
    rank: int
    """Which candidate of the document."""
    context: str
    sentence: str

    @property
    def key(self) -> str:
        return _hash(f"{self.document}{self.rank}")


def _candidates(text: str, context_characters: int) -> Iterator[_Candidate]:
    """Some sentences of a document, each with what stands before it."""
    document = _hash(text)
    fitting = [
        match
        for match in _SENTENCE.finditer(text)
        if SHORTEST <= len(match[0].strip()) <= LONGEST and match.start() >= SHORTEST_CONTEXT
    ]
    fitting.sort(key=lambda match: _hash(f"{document}{match.start()}"))
    for rank, match in enumerate(fitting[:MOST_PER_DOCUMENT]):
        # Space at the seam belongs to the context, so that no choice is known by it.
        start = match.end() - len(match[0].lstrip())
        yield _Candidate(document, rank, text[max(0, start - context_characters) : start], text[start : match.end()])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _item(
    source: str, candidate: _Candidate, by_length: Sequence[_Candidate], lengths: Sequence[int], choices: int
) -> ClozeItem | None:
    """`by_length` are the candidates of the source in the order of `lengths`."""
    length = len(candidate.sentence)
    first = bisect_left(lengths, length / LENGTH_RATIO)
    stop = bisect_right(lengths, length * LENGTH_RATIO)
    chosen: list[str] = []
    # The hash decides which are tried first, so few are looked at, however many fit.
    places = list(range(first, stop)) if stop - first <= _FEW else None
    chance = random.Random(candidate.key)
    if places is not None:
        chance.shuffle(places)
    for place in places or (chance.randrange(first, stop) for _ in range(_FEW)):
        other = by_length[place]
        if other.document != candidate.document and other.sentence not in (candidate.sentence, *chosen):
            chosen.append(other.sentence)
        if len(chosen) == choices - 1:
            break
    else:
        return None
    chosen.insert(int(candidate.key[-8:], 16) % choices, candidate.sentence)
    return ClozeItem(source, candidate.context, tuple(chosen), chosen.index(candidate.sentence))
