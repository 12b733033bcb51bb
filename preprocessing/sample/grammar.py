"""The template language of `registers/` and its parser.

A file is a list of rules. A rule is a name in the first column and indented alternatives below it:

    meal !plain                     # alternatives of this rule always end in the plain style
        {vegetable}を[よく|さっと]{洗う:te}、{dish}を{作る:TA}。

`{name}` is, in this order: a variable of the document, a rule, a word class, a name or date maker; failing these, a
word itself (`{作る:TA}`). `{name:form}` inflects the last word of what it stands for (see `conjugation`). `{x=name}`
also remembers the text as `x`. `{name@x}` is the rule `name.<value of x>`. `{name*2-4}` repeats; with `>`
(`{step*2-4>}`) different alternatives of the rule come in the order of the file. `{#3-20/5}` is a number from 3 to 20
in steps of 5. `[a|b|]` chooses, and `[a|b]:form` inflects what was chosen. `¶` ends a paragraph and `§` at its start
makes it a heading.

Before the rules stand headers: `style plain polite` (one is drawn per document), `digits kanji`, `use web 3` (weight of
the register in a source), and `let town = {town}`, evaluated once in the order of the file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import cast

from preprocessing.sample import paraphrase
from preprocessing.sample.conjugation import Style
from preprocessing.sample.numbers import Digits

REGISTERS = Path(__file__).parent / "registers"
_CHAIN = re.compile(r":([A-Za-z.]+)(?<!\.)")
SHARED = "_"
"""Files of `registers/` that start with this hold rules for all registers."""


@dataclass(frozen=True)
class Text:
    """Literal characters."""

    text: str


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, a multiple of `step` above `low`."""

    low: int
    high: int
    step: int


@dataclass(frozen=True)
class Choice:
    """One of several templates."""

    options: tuple["Template", ...]
    chain: str | None = None


@dataclass(frozen=True)
class Reference:
    """Whatever `name` stands for."""

    name: str
    chain: str | None = None
    bind: str | None = None
    by: str | None = None
    repeat: tuple[int, int] | None = None
    ordered: bool = False


Node = Text | Number | Choice | Reference
Template = tuple[Node, ...]


@dataclass(frozen=True)
class Rule:
    """Alternatives for one name."""

    name: str
    style: Style | None
    alternatives: tuple[Template, ...]


@dataclass(frozen=True)
class Register:
    """One kind of text: its rules include the shared ones."""

    name: str
    styles: tuple[Style, ...]
    digits: Digits
    use: Mapping[str, int]
    lets: tuple[tuple[str, Template], ...]
    rules: Mapping[str, Rule]


class GrammarError(ValueError):
    """A register file that does not parse; the message names the file and the line."""


def _literal(text: str, *, last: bool) -> list[Node]:
    return [
        Text(part) if isinstance(part, str) else Choice(tuple((Text(option),) for option in part))
        for part in paraphrase.split(text, last=last)
    ]


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0

    def template(self, stops: str = "") -> Template:
        nodes: list[Node] = []
        text = ""
        while self.position < len(self.source) and self.source[self.position] not in stops:
            character = self.source[self.position]
            self.position += 1
            if character in "|]}":
                raise GrammarError(f"a {character} that closes nothing")
            if character not in "{[":
                text += character
                continue
            nodes += _literal(text, last=False)
            text = ""
            nodes.append(self.reference() if character == "{" else self.choice())
        nodes += _literal(text, last=True)
        return tuple(nodes)

    def choice(self) -> Choice:
        options = [self.template("|]")]
        while self.source[self.position : self.position + 1] == "|":
            self.position += 1
            options.append(self.template("|]"))
        if self.source[self.position : self.position + 1] != "]":
            raise GrammarError("a [ is not closed")
        self.position += 1
        chain = _CHAIN.match(self.source, self.position)
        if chain is None:
            return Choice(tuple(options))
        self.position = chain.end()
        return Choice(tuple(options), chain[1])

    def reference(self) -> Node:
        end = self.source.find("}", self.position)
        if end < 0:
            raise GrammarError("a { is not closed")
        body = self.source[self.position : end]
        self.position = end + 1
        if body.startswith("#"):
            span, _, step = body[1:].partition("/")
            low, _, high = span.partition("-")
            return Number(int(low), int(high or low), int(step or 1))
        bind, equals, rest = body.partition("=")
        if not equals:
            bind, rest = "", body
        rest, _, chain = rest.partition(":")
        rest, _, repeat = rest.partition("*")
        name, _, by = rest.partition("@")
        if not name:
            raise GrammarError(f"{{{body}}} names nothing")
        ordered = repeat.endswith(">")
        low, _, high = repeat.removesuffix(">").partition("-")
        times = (int(low), int(high or low)) if repeat else None
        return Reference(name, chain or None, bind or None, by or None, times, ordered)


def parse_template(source: str) -> Template:
    """One alternative of a rule."""
    parser = _Parser(source)
    template = parser.template()
    if parser.position != len(source):
        raise GrammarError(f"cannot read {source[parser.position :]!r}")
    return template


@dataclass
class _File:
    headers: dict[str, list[str]] = field(default_factory=dict)
    lets: list[tuple[str, Template]] = field(default_factory=list)
    rules: dict[str, tuple[Style | None, list[Template]]] = field(default_factory=dict)


def parse(source: str, origin: str) -> _File:
    """The parts of one register file; `origin` names it in errors."""
    result = _File()
    alternatives: list[Template] | None = None
    for line_number, line in enumerate(source.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line[0] == " ":
                if alternatives is None:
                    raise GrammarError("an alternative without a rule")
                alternatives.append(parse_template(line.strip()))
                continue
            head, _, rest = line.strip().partition(" ")
            if head == "let":
                name, _, template = rest.partition("=")
                result.lets.append((name.strip(), parse_template(template.strip())))
            elif head in ("style", "digits"):
                result.headers[head] = rest.split()
            elif head == "use":
                result.headers.setdefault("use", []).append(rest)
            else:
                alternatives = []
                if head in result.rules:
                    raise GrammarError(f"rule {head} stands here twice")
                result.rules[head] = (cast(Style, rest[1:]) if rest.startswith("!") else None, alternatives)
        except (GrammarError, ValueError) as error:
            raise GrammarError(f"{origin}:{line_number}: {error}") from error
    for name, (_, found) in result.rules.items():
        if not found:
            raise GrammarError(f"{origin}: rule {name} has no alternatives")
    return result


def _rules(parsed: _File) -> dict[str, Rule]:
    return {name: Rule(name, style, tuple(options)) for name, (style, options) in parsed.rules.items()}


@cache
def load_registers() -> Mapping[str, Register]:
    """Every register of the package by name."""
    shared: dict[str, Rule] = {}
    own: dict[str, _File] = {}
    for path in sorted(REGISTERS.glob("*.txt")):
        parsed = parse(path.read_text(encoding="utf-8"), path.name)
        if path.name.startswith(SHARED):
            shared |= _rules(parsed)
        else:
            own[path.stem] = parsed
    registers = {}
    for name, parsed in own.items():
        use = {source: int(weight) for source, weight in (entry.split() for entry in parsed.headers["use"])}
        digits = cast(Digits, parsed.headers.get("digits", ["ascii"])[0])
        styles = cast(tuple[Style, ...], tuple(parsed.headers["style"]))
        registers[name] = Register(name, styles, digits, use, tuple(parsed.lets), shared | _rules(parsed))
    return registers
