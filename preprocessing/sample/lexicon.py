"""Word lists: which words a class holds, how a word inflects, how it is read.

A list in `words/` has sections `= class_name`, then one entry per line: `word`, or `word reading`. The sections 五段,
一段, サ変 and カ変 are the verbs by conjugation; a class whose name starts with `adj_` holds adjectives, na-adjectives
with their な.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from preprocessing.sample.conjugation import Style, Word, WordClass, inflect

WORDS = Path(__file__).parent / "words"
COPULA = "だ"
_VERB_CLASSES = {word_class.value: word_class for word_class in WordClass if not word_class.name.endswith("ADJECTIVE")}
LONGEST_TAIL = 8
"""Characters of the longest word that a phrase may end with."""


@dataclass(frozen=True)
class Lexicon:
    """Everything the grammar knows about single words."""

    classes: Mapping[str, tuple[str, ...]]
    """Class name -> its words, as they stand in a sentence (na-adjectives without な)."""
    word_classes: Mapping[str, WordClass]
    """Dictionary form -> how it inflects."""
    readings: Mapping[str, Mapping[str, str]]
    """Class name -> word in kanji -> its reading in kana, which another class may read in another way."""

    def tail(self, phrase: str) -> tuple[str, Word]:
        """The inflected word that ends `phrase`, and what stands before it: 野菜を刻む -> (野菜を, 刻む).

        Raises:
            KeyError: no known verb or adjective ends the phrase.
        """
        if phrase.endswith(COPULA):
            return phrase[: -len(COPULA)], ("", WordClass.NA_ADJECTIVE)
        for start in range(max(0, len(phrase) - LONGEST_TAIL), len(phrase)):
            word = phrase[start:]
            if word in self.word_classes:
                return phrase[:start], (word, self.word_classes[word])
        raise KeyError(f"no verb or adjective of the word lists ends {phrase!r}")

    def inflect(self, phrase: str, chain: str, style: Style) -> str:
        """`phrase` with its last word inflected."""
        head, (word, word_class) = self.tail(phrase)
        return head + inflect(word, word_class, chain, style)


def _entries(path: Path) -> Iterator[tuple[str, list[str]]]:
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            section = line[2:].strip()
        elif line.strip() and not line.startswith("#"):
            yield section, line.split()


@cache
def read_sections(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The sections of a list whose entries are whole lines."""
    sections: dict[str, list[str]] = {}
    for section, words in _entries(path):
        sections.setdefault(section, []).append(" ".join(words))
    return {name: tuple(entries) for name, entries in sections.items()}


@cache
def load_lexicon() -> Lexicon:
    """All word lists of the package."""
    classes: dict[str, list[str]] = {}
    word_classes: dict[str, WordClass] = {}
    readings: dict[str, dict[str, str]] = {}
    for path in sorted(WORDS.glob("*.txt")):
        for section, (word, *reading) in _entries(path):
            if section in _VERB_CLASSES:
                word_classes[word] = _VERB_CLASSES[section]
            elif section.startswith("adj_"):
                is_na = word.endswith("な")
                word = word.removesuffix("な")
                word_classes[word] = WordClass.NA_ADJECTIVE if is_na else WordClass.I_ADJECTIVE
            classes.setdefault(section, []).append(word)
            if reading:
                readings.setdefault(section, {})[word] = reading[0]
    return Lexicon({name: tuple(words) for name, words in classes.items()}, word_classes, readings)
