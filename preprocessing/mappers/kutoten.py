"""One style of comma and full stop per document: ，． become 、。 where they are the majority."""

import re
from collections import Counter

from preprocessing.document import Document
from preprocessing.step import Mapper

_JAPANESE = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_AFTER = f"(?<=[{_JAPANESE}」』）】〉》］｝〕)\\]])"
_FULL_WIDTH = "０-９Ａ-Ｚａ-ｚ"
_STYLES = (("，", "、", "commas"), ("．", "。", "full_stops"))
# A run counts once: only its first mark stands after a letter.
_COUNTED = {mark: re.compile(_AFTER + re.escape(mark)) for style in _STYLES for mark in style[:2]}
# The look-behind needs a character: a mark at the start of the text stays.
_PUBLISHED = {western: re.compile(f"(?<=[^{_FULL_WIDTH}]){western}") for western, _, _ in _STYLES}
_CAREFUL = {
    western: re.compile(f"(?<=[^{_FULL_WIDTH}0-9A-Za-z{western}]){western}(?!{western})") for western, _, _ in _STYLES
}


class KutotenMapper(Mapper):
    """The majority rule of swallow-corpus (`kutoten.py`): ， and ． give way to 、 and 。 if they are strictly more.

    Marks are counted after a Japanese letter or a closing bracket, each of the two styles for itself, and replaced
    everywhere but after full-width digits and letters. Stands before every rule that counts 。. Tallies the marks that
    were replaced: `commas`, `full_stops`.
    """

    published: bool = False
    """Exactly as published: half-width digits and letters protect nothing (3，4 becomes 3、4), ．．． becomes 。。。.
    Ours protects a mark after them, and runs of a mark."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        text = document.text
        replaced = _PUBLISHED if self.published else _CAREFUL
        for western, japanese, name in _STYLES:
            if western in text and _number(western, text) > _number(japanese, text):
                text, number = replaced[western].subn(japanese, text)
                tally[name] += number
        return text


def _number(mark: str, text: str) -> int:
    return len(_COUNTED[mark].findall(text))
