"""Markup without brackets: quotes for bold and italic, HTML tags, behaviour switches, entities."""

import re
from collections import Counter
from html.entities import html5

from preprocessing.wikitext.marks import BREAK, HOLE, sheltered

_QUOTES = re.compile("'{2,}")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?=[\s/>])[^<>]*>")
_TAGS = frozenset(
    [
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "blockquote",
        "br",
        "caption",
        "center",
        "cite",
        "code",
        "data",
        "dd",
        "del",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "ins",
        "kbd",
        "li",
        "mark",
        "noinclude",
        "nowiki",
        "ol",
        "onlyinclude",
        "p",
        "phonos",
        "poem",
        "pre",
        "q",
        "rb",
        "ref",
        "references",
        "rp",
        "rt",
        "rtc",
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "wbr",
        "langconvert",
        "translate",
        "tvar",
        "gallery",
        "math",
        "includeonly",
        "source",
        "syntaxhighlight",
        "score",
        "timeline",
        "imagemap",
    ]
)
_LINES = frozenset(
    [
        "br",
        "p",
        "div",
        "hr",
        "li",
        "dd",
        "dt",
        "ol",
        "ul",
        "dl",
        "tr",
        "table",
        "blockquote",
        "poem",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "caption",
        "center",
    ]
)
"""These begin or end a line."""
_SCRIPT = re.compile(r"<(su[bp])> ?([0-9n+\-−()]{1,8}) ?</\1>", re.IGNORECASE)
_RAISED = str.maketrans("0123456789n+-−()", "⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ⁺⁻⁻⁽⁾")
_LOWERED = str.maketrans("0123456789n+-−()", "₀₁₂₃₄₅₆₇₈₉ₙ₊₋₋₍₎")
# Unicode has no raised point: 10^0.5, as 100.5 would be another number.
_BROKEN_POWER = re.compile(r"<sup> ?([+\-−]?[0-9]{1,9}[./][0-9]{1,9}) ?</sup>", re.IGNORECASE)
_RUBY_BRACKET = re.compile(r"<rp\b[^<>]*>[^<>]*</rp\s*>", re.IGNORECASE)
_RUBY_TEXT = re.compile(r"<rt\b[^<>]*>([^<>]*)</rt\s*>", re.IGNORECASE)

# Of MediaWiki's messages in English and Japanese.
_SWITCH = re.compile(
    "(?:__|＿＿)(?:NOTOC|FORCETOC|TOC|NOEDITSECTION|NEWSECTIONLINK|NONEWSECTIONLINK|NOGALLERY|HIDDENCAT|NOHEADER"
    "|EXPECTUNUSEDCATEGORY|EXPECTUNUSEDTEMPLATE|NOCONTENTCONVERT|NOCC|NOTITLECONVERT|NOTC|INDEX|NOINDEX|STATICREDIRECT"
    "|DISAMBIG|NOGLOBAL|ARCHIVEDTALK|NOTALK|目次非表示|目次強制|目次|節編集非表示|セクション編集非表示|ギャラリー非表示|見出し非表示|新しい節リンク非表示"
    "|新しい節リンク|新規セクションリンク非表示|新規セクションリンク|新セクションリンク非表示|新セクションリンク|カテゴリ非表示|カテゴリー非表示"
    "|隠しカテゴリー?|非表示カテゴリー?|インデックス拒否|インデックス|静的転送|二重転送解消無効|固定リダイレクト"
    "|内容変換無効|内容変換抑制|タイトル変換無効|タイトルコンバート拒否|タイトル非表示|曖昧さ回避)(?:__|＿＿)"
)
_CONVERSION = re.compile(r"-\{(?!\{)[^{}\n]{0,200}\}-")
_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z][a-zA-Z0-9]{1,31}));")


def without_conversions(text: str, removed: Counter[str]) -> str:
    """`text` without `-{...}-`, whose braces must not be taken for others."""
    if "-{" not in text:
        return text
    text, number = _CONVERSION.subn(HOLE, text)
    removed["conversion"] += number
    return text


def without_inline_markup(text: str, removed: Counter[str]) -> str:
    """`text` without quotes, tags and switches. Digits in `sup` and `sub` become Unicode's: m<sup>2</sup> is m²."""
    if "''" in text:
        text = _QUOTES.sub(_quotes, text)
    if "__" in text or "＿＿" in text:
        text, number = _SWITCH.subn(HOLE, text)
        removed["switch"] += number
    if "<" in text:
        text = _BROKEN_POWER.sub(r"^\1", _SCRIPT.sub(_script, text))
        text = _RUBY_TEXT.sub(_reading, _RUBY_BRACKET.sub("", text))
        text = _TAG.sub(_tag, text)
    return text


def unescaped(text: str) -> str:
    """Entities with a semicolon as characters, once: `&amp;lt;` becomes `&lt;`. Unknown ones stay."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _quotes(match: re.Match[str]) -> str:
    """Two are italic, three bold, five both; of four one is text, of more than five all but five."""
    count = len(match[0])
    return "'" * (1 if count == 4 else max(count - 5, 0))


def _script(match: re.Match[str]) -> str:
    return match[2].translate(_RAISED if match[1].lower() == "sup" else _LOWERED)


def _reading(match: re.Match[str]) -> str:
    return f"（{match[1].strip()}）" if match[1].strip() else HOLE


def _tag(match: re.Match[str]) -> str:
    name = match[2].lower()
    if name not in _TAGS:
        return match[0]
    return BREAK if name in _LINES else ""


def _character(match: re.Match[str]) -> str:
    if match[3]:
        return sheltered(html5.get(match[3] + ";", match[0]))
    code = int(match[1]) if match[1] else int(match[2], 16)
    if code in (9, 10, 13):
        return " "
    # Controls, surrogates and noncharacters are no text.
    if code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or 0xFDD0 <= code <= 0xFDEF:
        return match[0]
    return sheltered(chr(code)) if code <= 0x10FFFF and code & 0xFFFE != 0xFFFE else match[0]
