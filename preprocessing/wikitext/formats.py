"""What a template leaves in the text, as a format: `{1}（{2}、{3}）`.

    {1}        the first unnamed argument (or the one named `1=`); {-1} the last, {*} all of them one after the other
    {label|1}  the first of these that is not blank
    {1:年}     with 年 after it, unless it ends so; without the argument there is no 年 either
An argument that is missing leaves a hole, and the repair takes away the brackets and commas around it.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from preprocessing.wikitext.marks import HOLE


class Field(NamedTuple):
    """A place for an argument."""

    names: tuple[str, ...]
    """The first that is there is taken."""
    unit: str = ""


Format = tuple[str | Field, ...]
"""Literal text and fields."""

_FIELD = re.compile(r"\{([^{}]*)\}")


def parse(source: str) -> Format:
    """
    Raises:
        ValueError: braces that do not fit, or an empty field.
    """
    parts = _FIELD.split(source)
    literals, fields = parts[::2], parts[1::2]
    if any(sign in literal for literal in literals for sign in "{}"):
        raise ValueError(f"{source!r}: a brace without its other half")
    found: list[str | Field] = []
    for literal, field in zip(literals, [*fields, None], strict=True):
        if literal:
            found.append(literal)
        if field is not None:
            names, _, unit = field.partition(":")
            found.append(Field(tuple(name.strip() for name in names.split("|")), unit))
    if any(not name for part in found if isinstance(part, Field) for name in part.names):
        raise ValueError(f"{source!r}: a field without a name")
    return tuple(found)


def parts_of(form: Format, arguments: Mapping[str, str]) -> list[str]:
    """The text of `form`, in parts.

    Args:
        arguments: name, or number of an unnamed one -> value, in their order.
    """
    return [part if isinstance(part, str) else _first(arguments, part) for part in form]


def _first(arguments: Mapping[str, str], field: Field) -> str:
    for name in field.names:
        if value := _value(arguments, name):
            return value if not field.unit or value.endswith(field.unit) else value + field.unit
    return HOLE


def _value(arguments: Mapping[str, str], name: str) -> str:
    if name in arguments:
        return arguments[name]
    if name == "-1":
        return next((value for key, value in reversed(list(arguments.items())) if value and key.isdecimal()), "")
    return "".join(value for key, value in arguments.items() if key.isdecimal()) if name == "*" else ""
