"""Templates whose format depends on their arguments. None: not understood, so that no wrong number is left."""

import re
from collections.abc import Mapping

from preprocessing.wikitext.formats import Format, parse

_NUMBER = re.compile(r"[+\-−±]?[0-9][0-9.,/+ ]*")
_POWER = re.compile(r"[+\-−]?[0-9]{1,6}")
_RANGES = {
    **dict.fromkeys(("to", "-", "–", "to(-)", "~", "～", "〜"), "–"),
    **dict.fromkeys(("x", "by", "×", "*", "xx"), "×"),
    **dict.fromkeys(("+/-", "±", "+/−"), "±"),
    **dict.fromkeys(("and", "&", "and(-)"), ", "),
    **dict.fromkeys(("or",), " or "),
}
_FRACTIONS: list[Format] = [parse("1/{1}"), parse("{1}/{2}"), parse("{1} {2}/{3}")]


def _unnamed(arguments: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    while (value := arguments.get(str(len(found) + 1))) is not None:
        found.append(value)
    while found and not found[-1]:
        found.pop()
    return found


def fraction(arguments: Mapping[str, str]) -> Format | None:
    """`{{frac|3}}` is 1/3, `{{frac|2|3}}` 2/3, `{{frac|1|2|3}}` 1 2/3."""
    count = len(_unnamed(arguments))
    return _FRACTIONS[count - 1] if 1 <= count <= 3 else None


def value(arguments: Mapping[str, str]) -> Format | None:
    """`{{val|6.02|0.01|e=23|u=mol}}`: 6.02±0.01×10²³ mol. None with two bounds of an error."""
    numbers = _unnamed(arguments)
    power, unit = arguments.get("e", ""), arguments.get("u") or arguments.get("ul") or ""
    per = arguments.get("up") or arguments.get("upl") or ""
    if (
        not 1 <= len(numbers) <= 2
        or not all(map(_NUMBER.fullmatch, numbers))
        or (power and not _POWER.fullmatch(power))
    ):
        return None
    parts = [arguments.get("p", ""), "±".join(numbers)]
    if power:
        parts += ["×10<sup>", power.replace("−", "-"), "</sup>"]
    if unit or per:
        parts += [" ", unit, "/" + per if per else ""]
    return (*parts, arguments.get("s", ""))


def measure(arguments: Mapping[str, str]) -> Format | None:
    """`{{convert|5|km|mi}}` is 5 km, `{{convert|5|to|10|km}}` 5–10 km, `{{convert|5|ft|10|in|m}}` 5 ft 10 in."""
    found = _unnamed(arguments)
    parts: list[str] = []
    index = 0
    while index + 1 < len(found) and _NUMBER.fullmatch(found[index]):
        number, unit = found[index], found[index + 1]
        between = _RANGES.get(unit)
        if between is None and _NUMBER.fullmatch(unit):
            break
        if between is not None and (index + 3 >= len(found) or not _NUMBER.fullmatch(found[index + 2])):
            return None
        parts += [number, f" {unit} " if between is None else between]
        index += 2
    return ("".join(parts).rstrip(),) if parts else None
