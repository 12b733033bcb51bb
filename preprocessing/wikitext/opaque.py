"""Comments and the tags whose content is no wikitext, or none of the text: dealt with first, from left to right."""

import re
from collections import Counter

from preprocessing.wikitext.inline import unescaped
from preprocessing.wikitext.marks import HOLE, NOTHING, sheltered

_DROPPED = (
    "categorytree|ce|charinsert|chem|gallery|graph|hiero|imagemap|includeonly|indicator|inputbox|mapframe|maplink|math"
    "|quiz|ref|references|score|source|syntaxhighlight|templatedata|templatestyles|timeline"
)
_KEPT = ("nowiki", "pre")
_OPEN = re.compile(rf"<(?:!--|({_DROPPED}|{'|'.join(_KEPT)})(?=[\s/>])([^<>]*)>)", re.IGNORECASE)
_REF = re.compile(r"<(/?)ref(?=[\s/>])[^<>]*>", re.IGNORECASE)
_NOWIKI = re.compile(r"</?nowiki\s*/?>", re.IGNORECASE)
_CLOSE = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in (*_DROPPED.split("|"), *_KEPT) if name != "ref"}


def without_opaque(text: str, removed: Counter[str]) -> str:
    """`text` with holes for comments and dropped tags, and sheltered content for `nowiki` and `pre`.

    Tags without an end go alone, except a `ref` without a name: that goes up to the end of its line or the next `ref`.
    Linear: a kind of tag that has no end further on is not looked for again.
    """
    pieces: list[str] = []
    position = 0
    endless: set[str] = set()
    while match := _OPEN.search(text, position):
        pieces.append(text[position : match.start()])
        position = match.end()
        name = (match[1] or "comment").lower()
        if match[1] and match[2].endswith("/"):
            pieces.append(NOTHING if name in _KEPT else HOLE)
            removed[name] += name not in _KEPT
        elif name == "ref":
            position = _end_of_ref(text, match, removed)
            pieces.append(HOLE)
        elif end := None if name in endless else _end(text, name, position):
            inside, position = text[position : end[0]], end[1]
            if name in _KEPT:
                pieces.append(sheltered(unescaped(_NOWIKI.sub("", inside) if name == "pre" else inside)) or NOTHING)
            else:
                pieces.append(HOLE)
                removed[name] += 1
        else:
            endless.add(name)
            pieces.append(NOTHING)
            removed["unclosed_tag"] += 1
    return "".join([*pieces, text[position:]]) if pieces else text


def _end(text: str, name: str, position: int) -> tuple[int, int] | None:
    """Where the end tag begins and ends."""
    if name == "comment":
        start = text.find("-->", position)
        return (start, start + 3) if start >= 0 else None
    match = _CLOSE[name].search(text, position)
    return match.span() if match else None


def _end_of_ref(text: str, match: re.Match[str], removed: Counter[str]) -> int:
    removed["ref"] += 1
    following = _REF.search(text, match.end())
    if following and following[1]:
        return following.end()
    removed["unclosed_ref"] += 1
    if "name" in match[2].lower() or "group" in match[2].lower():
        return match.end()  # `<ref name="a">` for `<ref name="a" />`: what follows is text
    end = following.start() if following else len(text)
    line_end = text.find("\n", match.end(), end)
    return line_end if line_end >= 0 else end
