"""Mail addresses, @names and LINE IDs, in ASCII or full width, also where @ is disguised."""

import re
from collections.abc import Collection, Iterator

from preprocessing.mappers._personal_numbers import Found

_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_AT = re.compile("[@＠]")
_DISGUISED = re.compile(
    r"[@＠★☆◎●]|[\[(（［<＜【{]\s?(?:at|ａｔ|アット(?:マーク)?|あっと|@|＠)\s?[\])）］>＞】}]", re.IGNORECASE
)
_SIGNS = ("@", "＠", "★", "☆", "◎", "●", "at]", "at)", "AT]", "AT)", "アット", "あっと")
"""Without any of these the pattern cannot match, but for rare mixtures of width and case."""
_LOCAL = re.compile(r"[A-Za-z0-9._%+\-/?']*\Z")
_BEFORE_AT = re.compile(r"[A-Za-z0-9._%+\-Ａ-Ｚａ-ｚ０-９．＿％＋－]")
_DOT = r"(?:\.|[\[(](?:dot|ドット)[\])])"
_USUAL = "com|net|org|jp|info|biz|edu|gov|io|me|tv|cc|cn|kr|tw|uk|us|eu|de|fr|asia|xyz|site|work|tokyo|dev"
_USUAL_ENDINGS = re.compile(_USUAL)
# A capital letter alone may begin the next sentence: only endings that are usual (Example.Com).
_ENDING = rf"([a-z]{{2,24}}|[A-Z]{{2,24}}|(?:{_USUAL.title()})(?![A-Za-z]))"
_DOMAIN = re.compile(rf"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{{0,61}}[A-Za-z0-9])?{_DOT}){{1,8}}{_ENDING}")
_LETTER = "A-Za-z0-9\u3041-\u3096\u30a1-\u30fc\u3005\u3400-\u9fff"
_JAPANESE_DOMAIN = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}\-]{{0,24}}[{_LETTER}])?\.){{1,4}}((?:{_USUAL})(?![A-Za-z]))"
)
_FILE_ENDINGS = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "htm", "php", "py", "pdf"))
_NAME = re.compile(r"[A-Za-z0-9_]{2,30}(?![A-Za-z0-9_.])")
_LINE_ID = re.compile(
    r"(?:LINE|ＬＩＮＥ|ライン)[\s\u3000]?(?:ID|ＩＤ|アイディー?)[\s\u3000:：はが「『]{0,3}(@?[A-Za-z0-9][A-Za-z0-9._\-]{3,19})"
)
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 253


def find_mail(text: str, kinds: Collection[str], disguised: bool) -> Iterator[Found]:
    """Addresses of these kinds in order of their @: mail, account_name; then line_id."""
    if ("mail" in kinds or "account_name" in kinds) and any(sign in text for sign in _SIGNS):
        for at in (_DISGUISED if disguised else _AT).finditer(text):
            plain = at[0] in "@＠"
            found = _mail(text, at, plain) if "mail" in kinds else None
            if found is None and plain and "account_name" in kinds:
                found = _account_name(text, at)
            if found is not None:
                yield found
    if "line_id" in kinds:
        for match in _LINE_ID.finditer(text):
            yield Found(match.start(1), match.end(1), "line_id")


def _mail(text: str, at: re.Match[str], plain: bool) -> Found | None:
    start, end = at.span()
    if plain and text[start - 1 : start] == " " == text[end : end + 1]:
        # taro @ example.com
        start, end, plain = start - 1, end + 1, False
    # The character before @ first: most have no address there.
    if not _BEFORE_AT.match(text, start - 1 if start else len(text)):
        return None
    before = text[max(0, start - _LONGEST_LOCAL) : start].translate(_ASCII)
    after = text[end : end + _LONGEST_DOMAIN].translate(_ASCII)
    domain = _DOMAIN.match(after) or (_JAPANESE_DOMAIN.match(after) if plain else None)
    if domain is None:
        return None
    ending = domain[1].lower()
    if ending in _FILE_ENDINGS or not (plain or _USUAL_ENDINGS.fullmatch(ending)):
        return None
    local = _LOCAL.search(before)
    name = local[0] if local else ""
    if name.startswith("//"):  # of an address: ftp://taro@example.com
        name = name.rpartition("/")[2]
    name = name.lstrip("._%+-/?'")
    return Found(start - len(name), end + domain.end(), "mail") if name else None


def _account_name(text: str, at: re.Match[str]) -> Found | None:
    before = text[at.start() - 1] if at.start() else ""
    if before.isascii() and (before.isalnum() or before in "_.@/" if before else False):
        return None
    name = _NAME.match(text, at.end())
    return Found(at.start(), name.end(), "account_name") if name else None
