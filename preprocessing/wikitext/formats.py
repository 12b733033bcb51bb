"""What a template leaves in the text, as a format: `{1}（{2}、{3}）`.

    {1}        the first unnamed argument (or the one named `1=`); {-1} the last, {*} all of them one after the other
    {label|1}  the first of these that is not blank
An argument that is missing leaves a hole, and the repair takes away the brackets and commas around it.
"""

import re
from collections.abc import Mapping

from preprocessing.wikitext.marks import HOLE

Format = tuple[str | tuple[str, ...], ...]
"""Literal text, and the names of arguments of which the first that is there is taken."""

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
    if any(not name.strip() for field in fields for name in field.split("|")):
        raise ValueError(f"{source!r}: a field without a name")
    found: list[str | tuple[str, ...]] = []
    for index, part in enumerate(parts):
        if index % 2:
            found.append(tuple(name.strip() for name in part.split("|")))
        elif part:
            found.append(part)
    return tuple(found)


def parts_of(form: Format, arguments: Mapping[str, str]) -> list[str]:
    """The text of `form`, in parts.

    Args:
        arguments: name, or number of an unnamed one -> value, in their order.
    """
    return [part if isinstance(part, str) else _first(arguments, part) for part in form]


def _first(arguments: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if value := _value(arguments, name):
            return value
    return HOLE


def _value(arguments: Mapping[str, str], name: str) -> str:
    if name in arguments:
        return arguments[name]
    if name == "-1":
        return next((value for key, value in reversed(list(arguments.items())) if value and key.isdecimal()), "")
    return "".join(value for key, value in arguments.items() if key.isdecimal()) if name == "*" else ""
