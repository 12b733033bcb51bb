"""The format of Aozora Bunko: header, body, colophon, and the markup of the body.

Source: the collection's manual for input (注記一覧, 外字注記, アクセント分解). Lines end with \\n.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

# Patterns begin with the line end before their line: `re` finds a literal far faster than a line start.
_RULE = r"-----+[ \u3000]*\n"
_LEGEND = re.compile(
    rf"\n(?:{_RULE}[【《]テキスト中に現れる記号について[】》]|［表記について］).*?\n{_RULE}", re.DOTALL
)
"""Explanation of the signs, between two rules of hyphens; a few early files have another form."""
_COLOPHON = re.compile(r"\n(?:翻訳の)?底本：")
_MADE_BY = ("入力", "青空文庫")
"""One of these follows in every colophon; without them 底本 is a word of the text."""
_COLOPHON_LINES = 10
"""A work from several books lists them one after the other, at most this many lines apart."""
_TYPISTS_NOTES = re.compile(rf"\n{_RULE}●入力者注")
_HEADER_LINES = 8
"""Title, original title, author, translator; a longer first block is text."""
_TAIL_CHARACTERS = 2000

UNKNOWN_CHARACTER = "〓"
"""U+3013, the printers' mark for a character that is not at hand: gaiji that are only described."""

_GAIJI = re.compile(r"※［＃([^［］]*)］")
_CODE_POINT = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
_PLANE_ROW_CELL = re.compile(r"(?:^|水準|、)([12])-(\d{1,2})-(\d{1,2})(?!\d)")
_DESCRIBED_KANA = re.compile(r"^(濁点付き)?(?:小書き)?[平片]仮名([ぁ-ゖァ-ヺ])")
_NOTE_LINE = re.compile(r"^(?:［＃[^［］\n]*］)+\n", re.MULTILINE)
_NOTE = re.compile(r"［＃[^［］]{0,1000}］")
_NOTE_MAX_CHARACTERS = 1000
_NOTE_MAX_DEPTH = 6
_RUBY = re.compile(r"《[^《》\n]*》|｜(?=[^｜《》\n]{1,100}《)")
_BRACKETED = re.compile(r"〔([^〔〕\n]*)〕")
_ACCENT = re.compile("[AO]E&|[ao]e&|s&|[?!]@|[AEIOUYaeiouy]['`^:_]|[CNSZcnsz]'|[ANOano]~|[Aa]&|[Oo]/|[Cc],(?=[A-Za-z])")
_WHOLE = {"AE&": "Æ", "ae&": "æ", "OE&": "Œ", "oe&": "œ", "s&": "ß", "!@": "¡", "?@": "¿", "O/": "Ø", "o/": "ø"}
_COMBINING = dict(zip("`'^~_:&,", "\u0300\u0301\u0302\u0303\u0304\u0308\u030a\u0327", strict=True))
# A gaiji note may stand for a sign of the markup itself (始め二重山括弧): a noncharacter until the markup is gone.
_SIGNS = "《》｜［］〔〕※＃"
_SHELTER = {ord(sign): 0xFDD0 + place for place, sign in enumerate(_SIGNS)}
_RESTORE = {stand_in: sign for sign, stand_in in _SHELTER.items()}
_STAND_INS = re.compile("[\ufdd0-\ufdef]")


@dataclass(frozen=True)
class Work:
    """The three parts of a file."""

    header: str
    """Title and author lines."""
    body: str
    colophon: str
    """From `底本：` on; without one, a copy of the end of the body, where notices may stand."""


def split(text: str) -> Work:
    """Cut a file into its parts; lines end with \\n. The text may mention 底本 too, so the last such line counts."""
    text = "\n" + text
    starts = [match.start() for match in _COLOPHON.finditer(text)]
    if starts and not any(sign in text[starts[-1] :] for sign in _MADE_BY):
        starts = []
    end = starts.pop() if starts else len(text)
    while starts and text.count("\n", starts[-1], end) <= _COLOPHON_LINES:
        end = starts.pop()
    before, colophon = text[:end], text[end:] or text[-_TAIL_CHARACTERS:]
    if legend := _LEGEND.search(before):
        header, body = before[: legend.start()], before[legend.end() :]
    else:
        header, _, body = before.lstrip("\n").partition("\n\n")
        if header.count("\n") >= _HEADER_LINES or not body.strip():
            header, body = "", before
    if notes := _TYPISTS_NOTES.search(body):
        body = body[: notes.start()]
    return Work(header, _without_edge_rules(body), colophon)


def _without_edge_rules(body: str) -> str:
    """`body` without a rule of hyphens before or after the text."""
    body = body.strip("\n")
    first, _, rest = body.partition("\n")
    if re.fullmatch(_RULE, first + "\n"):
        body = rest
    before, _, last = body.rpartition("\n")
    return before if re.fullmatch(_RULE, last + "\n") else body


def plain_text(body: str) -> str:
    """`body` with gaiji resolved, notes and readings removed (bases stay), repeat marks and accents as Unicode."""
    text = _STAND_INS.sub("", body)
    text = _GAIJI.sub(_character, text)
    if "※［＃" in text:  # notes nested in the description of a gaiji
        text = _GAIJI.sub(_character, _without_inner_notes(text))
    text = _without_notes(text)
    text = _RUBY.sub("", text)
    text = text.replace("／″＼", "〴〵").replace("／＼", "〳〵")
    if "〔" in text:
        text = _BRACKETED.sub(_with_accents, text)
    return text.translate(_RESTORE) if _STAND_INS.search(text) else text


@lru_cache(maxsize=10_000)
def gaiji(description: str) -> str:
    """The character that the inside of a gaiji note stands for.

    `「てへん＋劣」、第3水準1-84-77` names plane, row and cell of JIS X 0213, `「鹿＋嚴」、U+9EA3、148-1` a code point.
    A note without either (a description and the page of the book) gives the kana it describes (小書き平仮名ん: ん),
    else `UNKNOWN_CHARACTER`.
    """
    if match := _PLANE_ROW_CELL.search(description):
        plane, row, cell = (int(number) for number in match.groups())
        if 1 <= row <= 94 and 1 <= cell <= 94:
            raw = bytes([0xA0 + row, 0xA0 + cell])
            try:
                return (raw if plane == 1 else b"\x8f" + raw).decode("euc_jis_2004")
            except UnicodeDecodeError:
                pass
    if (match := _CODE_POINT.search(description)) and _is_character(code := int(match[1], 16)):
        return chr(code)
    if match := _DESCRIBED_KANA.match(description):
        voiced = unicodedata.normalize("NFC", match[2] + "\u3099")
        return match[2] if not match[1] else voiced if len(voiced) == 1 else match[2] + "゛"
    return UNKNOWN_CHARACTER


def _character(match: re.Match[str]) -> str:
    return gaiji(match[1]).translate(_SHELTER)


def _is_character(code: int) -> bool:
    return code >= 0x20 and code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF


def _without_inner_notes(text: str) -> str:
    """Notes inside gaiji notes removed, so that the outer ones can be matched."""
    return re.sub(r"(※［＃[^［］\n]*)［＃[^［］\n]*］", r"\1", text)


def _without_notes(text: str) -> str:
    """Every `［＃…］` removed; lines of nothing but notes vanish whole."""
    if "［＃" not in text:
        return text
    text = _NOTE_LINE.sub("", text)
    text = _NOTE.sub("", text)
    parts, position = [], 0
    # What is left has brackets inside (1.3 % of the works) or no end: then only its sign goes.
    while (start := text.find("［＃", position)) >= 0:
        parts.append(text[position:start])
        position = _closing_bracket(text, start) or start + 2
    return "".join([*parts, text[position:]])


def _closing_bracket(text: str, start: int) -> int | None:
    """Position after the bracket that closes the one at `start`; None when nothing within reach does."""
    depth = 0
    for position in range(start, min(len(text), start + _NOTE_MAX_CHARACTERS)):
        if text[position] == "［":
            depth += 1
            if depth > _NOTE_MAX_DEPTH:
                return None
        elif text[position] == "］":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


def _with_accents(match: re.Match[str]) -> str:
    """Accents resolved and the brackets removed; other brackets are the text's own."""
    inside, count = _ACCENT.subn(_accented, match[1])
    return inside if count else match[0]


def _accented(match: re.Match[str]) -> str:
    letters = match[0]
    if letters in _WHOLE:
        return _WHOLE[letters]
    return unicodedata.normalize("NFC", letters[:-1] + _COMBINING[letters[-1]])
