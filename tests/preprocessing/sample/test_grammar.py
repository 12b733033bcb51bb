"""The template language, and that every grammar of the package hangs together."""

from collections.abc import Iterator

import pytest

from preprocessing.sample.grammar import (
    Choice,
    GrammarError,
    Number,
    Reference,
    Register,
    Template,
    Text,
    load_registers,
    parse,
    parse_template,
)
from preprocessing.sample.lexicon import load_lexicon
from preprocessing.sample.names import NAMES
from preprocessing.sample.numbers import TIMES

REGISTERS = list(load_registers().values())


def test_templates():
    assert parse_template("{town}に[行く|来る]:TA。") == (
        Reference("town"),
        Text("に"),
        Choice(((Text("行く"),), (Text("来る"),)), "TA"),
        Text("。"),
    )
    assert parse_template("{x=act@hobby:teiru.u}") == (Reference("act", "teiru.u", "x", "hobby"),)
    assert parse_template("{step*2-4>}{part*3}") == (
        Reference("step", repeat=(2, 4), ordered=True),
        Reference("part", repeat=(3, 3)),
    )
    assert parse_template("{#3-20/5}[|円]") == (Number(3, 20, 5), Choice(((), (Text("円"),))))
    assert parse_template("{#7}") == (Number(7, 7, 1),)


@pytest.mark.parametrize("source", ["{town", "[a|b", "a]", "a}", "a|b", "{}", "{#x-3}"])
def test_templates_that_do_not_parse(source):
    with pytest.raises(ValueError, match=r"closed|closes nothing|names nothing|invalid literal"):
        parse_template(source)


def test_errors_name_file_and_line():
    with pytest.raises(GrammarError, match=r"x\.txt:2: a { is not closed"):
        parse("rule\n    {town\n", "x.txt")
    with pytest.raises(GrammarError, match=r"x\.txt:1: an alternative without a rule"):
        parse("    text\n", "x.txt")
    with pytest.raises(GrammarError, match=r"x\.txt:3: rule a stands here twice"):
        parse("a\n    b\na\n    c\n", "x.txt")
    with pytest.raises(GrammarError, match=r"x\.txt: rule a has no alternatives"):
        parse("a\n", "x.txt")


def nodes(template: Template) -> Iterator[Text | Number | Choice | Reference]:
    for node in template:
        yield node
        if isinstance(node, Choice):
            for option in node.options:
                yield from nodes(option)


def templates(register: Register) -> Iterator[Template]:
    yield from (template for _, template in register.lets)
    for rule in register.rules.values():
        yield from rule.alternatives


def bound(register: Register) -> set[str]:
    names = {name for name, _ in register.lets}
    return names | {
        node.bind
        for template in templates(register)
        for node in nodes(template)
        if isinstance(node, Reference) and node.bind
    }


def own_and_used(register: Register) -> Iterator[Template]:
    """Alternatives that a document of the register can come to."""
    waiting, seen = ["document", "book"], set()
    for _, template in register.lets:
        waiting += targets(register, template)
        yield template
    while waiting:
        name = waiting.pop()
        if name in seen or name not in register.rules:
            continue
        seen.add(name)
        for template in register.rules[name].alternatives:
            waiting += targets(register, template)
            yield template


def targets(register: Register, template: Template) -> list[str]:
    found = []
    for node in nodes(template):
        if isinstance(node, Reference):
            found += [name for name in register.rules if name.startswith(f"{node.name}.")] if node.by else [node.name]
    return found


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.name)
def test_every_reference_stands_for_something(register):
    lexicon, variables = load_lexicon(), bound(register)
    known = {*register.rules, *lexicon.classes, *NAMES, *TIMES, *variables}
    for template in own_and_used(register):
        for node in nodes(template):
            if not isinstance(node, Reference):
                continue
            if node.by:
                assert node.by in variables, node
                assert any(name.startswith(f"{node.name}.") for name in known), node
            elif node.name not in known and node.name.partition(".")[0] not in variables:
                assert node.chain, node
                lexicon.tail(node.name)


def last_literals(register: Register, node, seen: frozenset[str]) -> Iterator[str]:
    """Literals that a form asked of `node` may inflect."""
    if isinstance(node, Text):
        yield node.text
    elif isinstance(node, Choice) and node.chain is None:
        for option in node.options:
            yield from last_literals(register, option[-1], seen)
    elif isinstance(node, Reference) and node.chain is None:
        names = [name for name in register.rules if name.startswith(f"{node.name}.")] if node.by else [node.name]
        for name in names:
            if name in register.rules and name not in seen:
                for alternative in register.rules[name].alternatives:
                    yield from last_literals(register, alternative[-1], seen | {name})
            elif name in load_lexicon().classes:
                yield from load_lexicon().classes[name]


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.name)
def test_every_form_that_is_asked_for_exists(register):
    lexicon = load_lexicon()
    for template in own_and_used(register):
        for node in nodes(template):
            if isinstance(node, Reference | Choice) and node.chain:
                inner = node.options if isinstance(node, Choice) else [(Reference(node.name, by=node.by),)]
                for option in inner:
                    for literal in last_literals(register, option[-1], frozenset()):
                        for style in register.styles:
                            assert lexicon.inflect(literal, node.chain, style)


def test_both_kinds_of_sources_have_registers_enough():
    assert sum("web" in register.use for register in REGISTERS) >= 20
    assert sum("aozora" in register.use for register in REGISTERS) >= 5
    for register in REGISTERS:
        assert "document" in register.rules
        assert "aozora" not in register.use or ("book" in register.rules and dict(register.lets)["title"])
