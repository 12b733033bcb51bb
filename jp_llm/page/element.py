"""HTML in which every text is escaped, because nothing else can be put in."""

import html
import re

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What HTML does not allow."""


class Html(str):
    """Finished HTML. Every other string is text."""

    __slots__ = ()


def element(name: str, *children: str | int | float | Html, **attributes: str | int | float | None) -> Html:
    """`<name attributes>children</name>`.

    Args:
        name: of the tag.
        children: elements, or values that are shown as text.
        attributes: `class_` is `class`, `a_b` is `a-b`; None leaves it out.
    """
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    written = "".join(f' {key}="{escaped(value)}"' for key, value in given.items())
    inner = joined(*children)
    if name == "pre" and inner.startswith("\n"):
        inner = Html(f"\n{inner}")  # the first line break after the tag is not shown
    return Html(f"<{name}{written}>{inner}</{name}>")


def joined(*children: str | int | float | Html) -> Html:
    """Children without an element around them."""
    return Html("".join(child if isinstance(child, Html) else escaped(child) for child in children))


def coordinate(value: float) -> str:
    """A place in a picture, to a tenth of its unit."""
    return f"{value:.1f}".removesuffix(".0")


def escaped(value: object) -> str:
    """A value as text, fit for an element and for an attribute."""
    return html.escape(_UNSEEN.sub("\ufffd", str(value)), quote=True)
