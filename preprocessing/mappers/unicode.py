"""One spelling for characters that look the same or cannot be seen. Not NFKC, unless asked: ①, ㈱, ㍻, … and full-width
punctuation mean something in Japanese text.
"""

import html
import re
import unicodedata
from collections import Counter
from html.entities import html5

from preprocessing.document import Document
from preprocessing.step import Mapper

# Written as escapes: none of these can be seen. Kept on purpose: tab, U+200D (emoji sequences), variation selectors.
_LINE_END = "\x0b\x0c\r\x85\u2028\u2029"
_INVISIBLE = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls
    "\u00ad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # soft hyphen, zero width, direction
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters
)
_PRIVATE = "\ue000-\uf8ff"
_SPECIAL = re.compile(f"\r\n|[{_LINE_END}{_INVISIBLE}{_PRIVATE}\u2581]")
# All that any pattern of this file may change: most texts have none of it and are read once.
_SUSPECT = re.compile(f"[{_LINE_END}{_INVISIBLE}{_PRIVATE}\u2581\u3099-\u309c\uff61-\uff9f]")

# Kana that take a mark. Marks: combining U+3099/309A, spacing U+309B/309C, half-width U+FF9E/FF9F.
_VOICED = "うかきくけこさしすせそたちつてとはひふへほゝウカキクケコサシスセソタチツテトハヒフヘホワヰヱヲヽ"
_HALF_VOICED = "はひふへほハヒフヘホ"
_SEPARATED_MARK = re.compile(f"[{_VOICED}][\u3099\u309b\uff9e]|[{_HALF_VOICED}][\u309a\u309c\uff9f]")
_COMBINING = {"\u309b": "\u3099", "\uff9e": "\u3099", "\u309c": "\u309a", "\uff9f": "\u309a"}
_HALF_WIDTH = re.compile("[\uff61-\uff9d][\uff9e\uff9f]?|[\uff9e\uff9f]")
_FULL_WIDTH_ALPHANUMERICS = re.compile("[０-９Ａ-Ｚａ-ｚ]+")
_TO_ASCII = {code: code - 0xFEE0 for code in range(0xFF10, 0xFF5B)}
# Only whole ones: without a semicolon, &copy and &para are also parts of addresses.
_ENTITY = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPACING = {"\u3099": "\u309b", "\u309a": "\u309c"}


class UnicodeMapper(Mapper):
    """Line ends become \\n; controls, zero-width, direction and private-use characters go; か゛ becomes が.

    Tallies `html_entities`, `private_use` (old phone emoji and user-defined characters have no public meaning), and
    `sentencepiece_space`: U+2581 ▁, which SentencePiece writes for a space and cannot give back, becomes _.
    """

    html_entities: bool = False
    """&amp; becomes &, &#12354; あ: once, so that &amp;lt; is &lt;. Unknown names and those without ; stay."""
    nfkc: bool = False
    """Also apply NFKC: ① becomes 1, ㈱ (株), full-width letters and punctuation ASCII, U+3000 a space."""
    half_width_alphanumerics: bool = False
    """Ａ１ becomes A1; full-width punctuation stays."""
    full_width_katakana: bool = True
    """ｶﾞ becomes ガ, and ｡｢｣､･ become 。「」、・."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        text = document.text
        if self.html_entities and "&" in text and ";" in text:
            text = _ENTITY.sub(lambda match: _unescaped(match[0], tally), text)
        if _SUSPECT.search(text):
            text = _SPECIAL.sub(lambda match: _replacement(match[0], tally), text)
            if self.full_width_katakana or self.nfkc:
                text = _HALF_WIDTH.sub(_full_width, text)
            text = _SEPARATED_MARK.sub(_composed, text)
        if self.half_width_alphanumerics:
            text = _FULL_WIDTH_ALPHANUMERICS.sub(lambda match: match[0].translate(_TO_ASCII), text)
        if self.nfkc and not unicodedata.is_normalized("NFKC", text):
            # NFKC would turn a spacing mark into a space and a mark on that space.
            parts = re.split("([\u309b\u309c])", text)
            text = "".join(part if part in "\u309b\u309c" else unicodedata.normalize("NFKC", part) for part in parts)
        return text


def _unescaped(entity: str, tally: Counter[str]) -> str:
    """What the entity stands for; one that stands for no character stays."""
    found = html.unescape(entity) if entity[1] == "#" else html5.get(entity[1:], entity)
    if found == entity or found in ("", "\ufffd"):
        return entity
    tally["html_entities"] += 1
    return found


def _replacement(found: str, tally: Counter[str]) -> str:
    if found == "\r\n" or found in _LINE_END:
        return "\n"
    if found == "\u2581":
        tally["sentencepiece_space"] += 1
        return "_"
    if "\ue000" <= found <= "\uf8ff":
        tally["private_use"] += 1
    return ""


def _full_width(match: re.Match[str]) -> str:
    whole = unicodedata.normalize("NFKC", match[0])
    # A mark that no character takes stands alone: ｱﾞ is ア゛.
    return whole if len(whole) == 1 and whole not in _SPACING else "".join(_SPACING.get(part, part) for part in whole)


def _composed(match: re.Match[str]) -> str:
    base, mark = match[0][0], match[0][1]
    return unicodedata.normalize("NFC", base + _COMBINING.get(mark, mark))
