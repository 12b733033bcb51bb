"""Composes whole texts: a register is drawn for the source, its grammar expanded, its words spelled one way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Literal

from preprocessing.sample.grammar import Register, load_registers
from preprocessing.sample.spelling import respell
from preprocessing.sample.writer import HEADING, Composition, Writer

Source = Literal["web", "aozora"]
"""What kind of text: pages and files of the web, or works of literature."""


@dataclass(frozen=True)
class ComposedText:
    """A text without defects, and the register it is from."""

    register: str
    composition: Composition

    @property
    def text(self) -> str:
        """Paragraphs as lines."""
        return "\n".join(self.composition.lines)


@cache
def _registers(source: Source) -> tuple[Sequence[Register], Sequence[int]]:
    registers = [register for register in load_registers().values() if register.use.get(source)]
    return registers, [register.use[source] for register in registers]


def draw_register(rng: Random, source: Source) -> Register:
    """A register by its weight in `source`."""
    registers, weights = _registers(source)
    return rng.choices(registers, weights)[0]


def _composed(rng: Random, register: Register, rule: str) -> Composition:
    composition = Writer(register, rng).compose(rule)
    lines = respell(rng, "\n".join(composition.paragraphs)).split("\n")
    return replace(composition, paragraphs=tuple(lines))


def compose_page(rng: Random) -> ComposedText:
    """A page of the web. Inside a line, spaces are U+0020."""
    register = draw_register(rng, "web")
    composition = _composed(rng, register, "document")
    paragraphs = tuple(paragraph.replace("\u3000", " ") for paragraph in composition.paragraphs)
    return ComposedText(register.name, replace(composition, paragraphs=paragraphs))


def compose_long_page(rng: Random, characters: int) -> ComposedText:
    """A long text of one register in numbered sections, of at least `characters` characters."""
    register = draw_register(rng, "web")
    paragraphs: list[str] = []
    number = 0
    while sum(map(len, paragraphs)) < characters:
        number += 1
        section = _composed(rng, register, "document")
        paragraphs += [f"{HEADING}{number}. {section.lines[0]}", *section.lines[1:]]
    paragraphs = [paragraph.replace("\u3000", " ") for paragraph in paragraphs]
    return ComposedText(register.name, Composition("", tuple(paragraphs), {}))


def compose_work(rng: Random, chapters: int) -> tuple[str, list[Composition]]:
    """A work of literature: its register and its chapters, each with a title."""
    register = draw_register(rng, "aozora")
    return register.name, [_composed(rng, register, "book") for _ in range(chapters)]
