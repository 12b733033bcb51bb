"""Brackets that lost what stood in them: 東京（とうきょう、） becomes 東京（とうきょう）, and （英: 、） nothing.

In an article only places are touched from which something was removed (holes), so that kaomoji, empty brackets that
are meant (「」は鉤括弧) and everything else that an author wrote stay. `repaired_anywhere` is for text from which
somebody else removed the markup.
"""

import re
from collections import Counter

from preprocessing.wikitext.marks import HOLE

_PAIRS = dict(zip("（(「『【〈《〔［[〖", "）)」』】〉》〕］]〗", strict=True))
_CLOSING = frozenset(_PAIRS.values())
_SPACES = " \t\u3000\u00a0"
_COMMAS = "、，,;；・/／"
_SEPARATORS = _SPACES + _COMMAS + ":："
_COLONS = frozenset(":：")
_ENDS = frozenset("。．！？!?")
_EDGE = frozenset(_SEPARATORS) | _PAIRS.keys() | _CLOSING
# `英: ` and `英語：` in front of a word that is gone.
_LABEL = re.compile(
    r"(?:[一-龠々ァ-ヶー]{1,9}(?:語|文|名|字|題|称|記|音|表記)|[英独仏伊西露中韓朝羅希蘭葡波典諾芬捷洪勃土亜泰越梵丁日和漢略]|ピンイン|拼音|"
    r"ハングル|ラテン|漢字|発音|読み|エスペラント|IPA)$"
)
_LABEL_REACH = 14
_MAX_NESTING = 8


def repaired(text: str) -> str:
    """`text` with the places around its holes mended; the holes stay. Linear."""
    if HOLE not in text:
        return text
    first, *parts = text.split(HOLE)
    out = [first.rstrip(_SEPARATORS)]
    before, after = first[len(out[0]) :], ""
    for right in parts:
        right_core = right.lstrip(_SEPARATORS)
        after += right[: len(right) - len(right_core)]
        if not right_core:
            continue
        if len(out) > 1 and _LABEL.fullmatch(out[-1]) and _lost(before, after, right_core):
            del out[-2:]  # the label and the hole before it
            before, after = out.pop(), before + after
        left = out[-1]
        if before or after or right_core[0] in _CLOSING or left[-1:] in _PAIRS:
            left, between, right_core = _junction(left, before, after, right_core)
            out[-1] = left
        else:
            between = ""
        out += [between, HOLE]
        out.append(right_core.rstrip(_SEPARATORS))
        before, after = right_core[len(out[-1]) :], ""
    return "".join([*out, before, after, "" if text[-1] != HOLE else HOLE])


def _junction(left: str, before: str, after: str, right: str) -> tuple[str, str, str]:
    """What is left of the text on both sides of a hole, and the separators between them.

    Args:
        left: without separators at its end.
        before: separators between it and the hole.
        after: separators between the hole and `right`.
        right: without separators at its beginning.
    """
    for _ in range(_MAX_NESTING):
        if _lost(before, after, right):
            label = _LABEL.search(left[-_LABEL_REACH:])
            if label and (rest := left[: len(left) - len(label[0])]) and rest[-1] in _EDGE:
                left = rest.rstrip(_SEPARATORS)
                before = rest[len(left) :]
                continue
        if left and right and _PAIRS.get(left[-1]) == right[0]:
            rest = left[:-1]
            left, following = rest.rstrip(_SEPARATORS), right[1:]
            right = following.lstrip(_SEPARATORS)
            before, after = rest[len(left) :], following[: len(following) - len(right)]
            continue
        break
    if left[-1:] in _PAIRS or right[:1] in _CLOSING:
        return left, "", right
    if not left or left[-1] == "\n":
        return left, before + after.lstrip(_COMMAS), right  # `before` may be the mark of a list
    if right[:1] in _ENDS:
        return left, "", right
    if (any(sign in before for sign in _COMMAS) and any(sign in after for sign in _COMMAS)) or (
        before[-1:] in _SPACES and not after.strip(_SPACES)
    ):
        return left, before, right
    return left, before + after, right


def _lost(before: str, after: str, right: str) -> bool:
    """Whether the word of a label (`英: `) is gone: nothing follows but a bracket or a comma."""
    return before.lstrip(_SPACES)[:1] in _COLONS and (right[:1] in _CLOSING or bool(after.strip(_SPACES + ":：")))


# Quotation marks are left alone: 「」 and 「、」 are often what a sentence speaks of.
_FULL_WIDTH = "（【〈《〔"
_FULL_WIDTH_END = "）】〉》〕"
# Without ・ and /, which begin lists （・歴史） and paths （/home）.
_LOOSE_COMMAS = "、，,;；"
_LOOSE = _SPACES + _LOOSE_COMMAS + ":："
_WORD = "ぁ-んァ-ヶー一-龠々0-9A-Za-z"
# With a comma something is lost for certain. Without one, only after a headword: f（） is a function, and（ ）a gap.
_HEADWORD = "ァ-ヶー一-龠々A-Z」』"
_EMPTY = re.compile(
    f"([{_FULL_WIDTH}])(?:[{_SPACES}]*+[{_LOOSE_COMMAS}:：][{_LOOSE}]*+|(?<=[{_HEADWORD}].))([{_FULL_WIDTH_END}])"
)
_LEADING = re.compile(rf"([{_FULL_WIDTH}])[{_LOOSE}]++(?=[{_WORD}])")
_LOST_LABEL = re.compile(
    rf"(?<=[{_FULL_WIDTH}{_LOOSE_COMMAS}])[ \u3000]?(?:[一-龠々ァ-ヶー]{{1,9}}語|[英独仏伊西露中韓朝羅希蘭葡]) ?[:：] ?"
    rf"(?=[{_LOOSE_COMMAS}{_FULL_WIDTH_END}])"
)
_COMMA_TWICE = re.compile("、[ \u3000]?、++|、(?=。)")
# After a word, and not `・` of a face; so a long run is tried once and not from each of its characters.
_TRAILING = re.compile(rf"(?<=[{_WORD}])[{_SPACES}]*+[{_LOOSE_COMMAS}:：][{_LOOSE}]*+(?=[{_FULL_WIDTH_END}])")


def repaired_anywhere(text: str, tally: Counter[str]) -> str:
    """`text` without empty or half-empty full-width brackets and doubled commas, wherever they are.

    Brackets of ASCII and quotation marks are left alone, and so is what does not hold a word: （；´∀｀） stays.
    """
    for _ in range(_MAX_NESTING):
        before = text
        text = _count(_LOST_LABEL, "", text, tally, "label")
        text = _count(_EMPTY, _unless_unlike, text, tally, "empty_brackets")
        text = _count(_LEADING, r"\1", text, tally, "leading_separators")
        text = _count(_TRAILING, "", text, tally, "trailing_separators")
        text = _count(_COMMA_TWICE, lambda match: "、" if len(match[0]) > 1 else "", text, tally, "commas")
        if text == before:
            break
    return text


def _unless_unlike(match: re.Match[str]) -> str:
    return "" if _PAIRS[match[1]] == match[2] else match[0]


def _count(pattern: re.Pattern[str], by: object, text: str, tally: Counter[str], name: str) -> str:
    changed, number = pattern.subn(by, text)  # type: ignore[call-overload]
    if changed != text:
        tally[name] += number
    return str(changed)
