"""Links and templates without brackets inside: nine of ten, and several times faster by substitution than as spans.

What is substituted may make the bracket around it a simple one, so this is done a few times. The rest is left to
spans; the outcome is the same.
"""

import re
from collections.abc import Callable

from preprocessing.wikitext.brackets import TooComplex
from preprocessing.wikitext.links import link_text
from preprocessing.wikitext.losses import Losses
from preprocessing.wikitext.marks import HOLE, apart
from preprocessing.wikitext.substitution import MAX_ARGUMENTS, Substitution

# Conditions on what is before come after the first signs: `re` skips to a literal, but not to a condition.
_LINK = re.compile(r"\[\[(?<!\[\[\[)([^\[\]{}|]*+)(?:\|([^\[\]{}]*+))?\]\]")
_EXTERNAL = re.compile(r"\[(?<!\[\[)(?=https?://|ftp://|//|mailto:)[^\s\[\]{}<\"]*+([^\[\]{}\n]*+)\](?!\])")
_TEMPLATE = re.compile(r"\{\{(?<!\{\{\{)([^{}\[\]|]*+)(?:\|([^{}\[\]]*+))?\}\}(?!\})")
_UNUSUAL = re.compile("[:\n<>" + HOLE + "]")
_TIMES = 3


def without_simple_brackets(text: str, substitution: Substitution) -> str:
    """`text` with what simple links and templates leave. Linear."""
    losses = substitution.losses
    link, external, template = _link(losses), _external(losses), _template(substitution)
    for _ in range(_TIMES):
        text, links = _LINK.subn(link, text)
        if "[http" in text or "[//" in text:
            text = _EXTERNAL.sub(external, text)
        text, found = _TEMPLATE.subn(template, text)
        if not links and not found:
            break
    return text


def _link(losses: Losses) -> Callable[[re.Match[str]], str]:
    removed = losses.removed

    def replacement(match: re.Match[str]) -> str:
        target, label = match.groups("")
        if target and not _UNUSUAL.search(target):
            return apart(label if label and not label.isspace() else target.strip())
        shown = link_text(target.replace(HOLE, ""), label, removed)
        if shown is None:
            removed["broken_link"] += 1
            return apart(match[0][2:-2])
        return apart(shown)

    return replacement


def _external(losses: Losses) -> Callable[[re.Match[str]], str]:
    def replacement(match: re.Match[str]) -> str:
        label = match[1].strip()
        losses.removed["bare_url"] += not label
        return apart(label) or HOLE

    return replacement


def _template(substitution: Substitution) -> Callable[[re.Match[str]], str]:
    def replacement(match: re.Match[str]) -> str:
        name, rest = match.groups()
        rule = substitution.rule(name)
        if rule.form is None:
            return substitution.dropped(rule)
        arguments: dict[str, str] = {}
        if rest is not None:
            if rest.count("|") >= MAX_ARGUMENTS:
                raise TooComplex
            number = 0
            for part in rest.split("|"):
                key, equals, value = part.partition("=")
                if equals and "<" not in key:
                    arguments[key.strip()] = value.strip()
                else:
                    number += 1
                    arguments[str(number)] = part.strip()
        return apart(substitution.text(rule, arguments, len(match[0])))

    return replacement
