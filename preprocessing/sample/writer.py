"""Writes one document from a register: expands its templates and remembers what was said.

A rule's alternatives come without repetition until all have been used in the document. Words of a class are drawn
unevenly, with other favourites in every document, so that a document keeps to its subject as real ones do.
"""

from dataclasses import dataclass
from random import Random

from preprocessing.sample.conjugation import Style
from preprocessing.sample.grammar import Choice, Number, Reference, Register, Rule, Template, Text
from preprocessing.sample.lexicon import load_lexicon
from preprocessing.sample.names import NAMES
from preprocessing.sample.numbers import TIMES, number

HEADING = "§"
PARAGRAPH_END = "¶"


@dataclass(frozen=True)
class Composition:
    """A composed text before anything is planted in it."""

    title: str
    paragraphs: tuple[str, ...]
    """Headings start with `HEADING`."""
    readings: dict[str, str]
    """Names that occur -> how they are read."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The paragraphs without heading marks."""
        return tuple(paragraph.removeprefix(HEADING) for paragraph in self.paragraphs)


def _joined(inner: str | None, outer: str | None) -> str | None:
    """A chain of forms that goes on outside."""
    return f"{inner}.{outer}" if inner and outer else inner or outer


class Writer:
    """The state of one document."""

    def __init__(self, register: Register, rng: Random) -> None:
        self.register = register
        self.rng = rng
        self.lexicon = load_lexicon()
        self.style: Style = rng.choice(register.styles)
        self.variables: dict[str, str] = {}
        self.readings: dict[str, str] = {}
        self._bags: dict[str, list[Template]] = {}
        self._favourites: dict[str, int] = {}
        self._last: dict[str, str] = {}
        for name, template in register.lets:
            self._bind(name, template)

    def compose(self, rule: str = "document") -> Composition:
        """A whole document from `rule`; the variable `title`, if the register has one, is its title."""
        text = self.text(rule)
        paragraphs = tuple(part for part in text.split(PARAGRAPH_END) if part)
        readings = {name: reading for name, reading in self.readings.items() if reading and name in text}
        return Composition(self.variables.get("title", ""), paragraphs, readings)

    def text(self, rule: str) -> str:
        """One expansion of a rule."""
        return self._reference(Reference(rule), None)

    def _bind(self, variable: str, template: Template) -> None:
        """Keep a name with all its parts if the template is nothing but a name, else its text."""
        maker = NAMES.get(template[0].name) if len(template) == 1 and isinstance(template[0], Reference) else None
        if maker is None:
            self.variables[variable] = self._expand(template, None)
            return
        for part, (written, reading) in maker(self.rng).items():
            self.variables[f"{variable}.{part}" if part else variable] = written
            self.readings[written] = reading

    def _expand(self, template: Template, chain: str | None) -> str:
        """All nodes in order; `chain` inflects the last one."""
        last = len(template) - 1
        parts = []
        for index, node in enumerate(template):
            inner = chain if index == last else None
            if isinstance(node, Text):
                parts.append(self.lexicon.inflect(node.text, inner, self.style) if inner else node.text)
            elif isinstance(node, Reference):
                parts.append(self._reference(node, inner))
            elif isinstance(node, Choice):
                option = node.options[int(self.rng.random() * len(node.options))]
                parts.append(self._expand(option, _joined(node.chain, inner)))
            else:
                parts.append(self._number(node))
        return "".join(parts)

    def _number(self, node: Number) -> str:
        steps = (node.high - node.low) // node.step
        return number(node.low + node.step * int(self.rng.random() * (steps + 1)), self.register.digits)

    def _reference(self, node: Reference, outer: str | None) -> str:
        if node.repeat:
            times = self.rng.randint(*node.repeat)
            if node.ordered:
                alternatives = self.register.rules[self._name(node)].alternatives
                chosen = sorted(self.rng.sample(range(len(alternatives)), min(times, len(alternatives))))
                return "".join(self._expand(alternatives[index], outer) for index in chosen)
            return "".join(self._once(node, outer) for _ in range(times))
        return self._once(node, outer)

    def _name(self, node: Reference) -> str:
        return f"{node.name}.{self.variables[node.by]}" if node.by else node.name

    def _once(self, node: Reference, outer: str | None) -> str:
        chain = _joined(node.chain, outer)
        name = self._name(node)
        rule = self.register.rules.get(name)
        if name in self.variables:
            text = self._inflected(self.variables[name], chain)
        elif rule is not None:
            text = self._rule(rule, chain)
        elif name in self.lexicon.classes:
            text = self._inflected(self._word(name), chain)
        elif name in NAMES:
            if node.bind:
                self._bind(node.bind, (Reference(name),))
                return self.variables[node.bind]
            written, reading = NAMES[name](self.rng)[""]
            self.readings[written] = reading
            text = written
        elif name in TIMES:
            text = TIMES[name](self.rng, self.register.digits)
        elif chain:
            text = self.lexicon.inflect(name, chain, self.style)
        else:
            raise KeyError(f"{self.register.name}: nothing is called {name!r}")
        if node.bind:
            self.variables[node.bind] = text
        return text

    def _inflected(self, text: str, chain: str | None) -> str:
        return self.lexicon.inflect(text, chain, self.style) if chain else text

    def _rule(self, rule: Rule, chain: str | None) -> str:
        bag = self._bags.get(rule.name)
        if not bag:
            bag = self._bags[rule.name] = list(rule.alternatives)
        index = int(self.rng.random() * len(bag))
        bag[index], bag[-1] = bag[-1], bag[index]
        template = bag.pop()
        if rule.style is None:
            return self._expand(template, chain)
        outside, self.style = self.style, rule.style
        try:
            return self._expand(template, chain)
        finally:
            self.style = outside

    def _word(self, word_class: str) -> str:
        words = self.lexicon.classes[word_class]
        favourite = self._favourites.setdefault(word_class, int(self.rng.random() * len(words)))
        index = (favourite + int(len(words) * self.rng.random() ** 2)) % len(words)
        if words[index] == self._last.get(word_class):
            index = (index + 1) % len(words)
        self._last[word_class] = words[index]
        return words[index]
