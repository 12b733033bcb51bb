"""Numbers that name a person, found on a shadow of equal length: full-width forms and all hyphens as ASCII.

Boundaries are look-arounds for digits, never `\\b`: to Python kanji and kana are word characters. A number that is
joined to further digits by a hyphen or a point is another number: an order, an ISBN, a decimal.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from preprocessing.text.check_digits import is_luhn, is_my_number

_HYPHENS = "‐‑‒–—―−－ーｰ"
_SHADOW: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, _HYPHENS), "-"),
    **dict.fromkeys(map(ord, "\u3000\u00a0\u2009\u202f"), " "),
}
# At least seven characters, which is the shortest number of interest: most texts have none of these and are read once.
_RUN = re.compile(f"[0-9０-９][0-9０-９ \u3000().（）．_＿\\-{_HYPHENS}]{{5,}}[0-9０-９]")
_BEFORE, _AFTER = 28, 28
"""Characters around a run that may decide what it is: a keyword stands within 20."""
_PREFIX = 3
"""A number may begin before its first digit: +81, (03), 〒."""

_START = r"(?<![0-9])(?<![0-9][-.])"
_LISTED = r"(?<=(?<![0-9A-Za-z.\-])[0-9]SIGN)"
"""Behind the number of an item: 1.090-1234-5678."""
_END = r"(?![0-9])(?![-.][0-9])"
_HYPHEN = r"(?:\ ?-\ ?)"


def shadow(text: str) -> str:
    """`text` with full-width ASCII, hyphens and spaces in one form, character by character."""
    return text.translate(_SHADOW)


def _words(pattern: str) -> re.Pattern[str]:
    """A pattern for the shadow, in which ー is a hyphen."""
    return re.compile(shadow(pattern), re.IGNORECASE)


# Area codes of three digits. No number begins with 012-.
_AREA = "0(?:1[15789]|2[2-9]|4[2-9]|5[234589]|7[2356789]|8[2346789]|9[2356789])"


def _landline(first: str, second: str) -> str:
    """Area code and local exchange, six digits together, by the separators between the three groups."""
    pairs = ((r"0[346]", 4), (_AREA, 3), (r"0[1-9][1-9][0-9]", 2), (r"0[1-9][1-9][0-9]{2}", 1))
    return "|".join(first.replace("AREA", area).replace("LOCAL", f"[0-9]{{{size}}}") + second for area, size in pairs)


_NUMBER = re.compile(
    rf"""
    (?P<postal_code> 〒\ ?[0-9]{{3}}[-\ ]?[0-9]{{4}} {_END}
        | {_START}[0-9]{{3}}-[0-9]{{4}} {_END} (?=[\s、,]*(?:東京都|北海道|京都府|大阪府|[一-鿿]{{2,3}}県))
        | (?<=郵便番号){_START}[0-9]{{3}}-?[0-9]{{4}} {_END}
        | (?<=郵便番号[:\ は]){_START}[0-9]{{3}}-?[0-9]{{4}} {_END})
    | (?P<international> (?<![0-9])(?:\+\ ?81[-\ ]?|(?:00|010-?)81[-\ ])(?:\(0\)|0)?
          [-\ ]?[1-9][0-9]{{0,3}}[-\ )]?[0-9]{{1,4}}[-\ ]?[0-9]{{3,4}} {_END})
    | (?P<listed_mobile> (?:{_LISTED.replace("SIGN", "[.-]")}) 0[5-9]0-[0-9]{{4}}-[0-9]{{4}} {_END})
    | (?P<listed_landline> (?:{_LISTED.replace("SIGN", "[.]")})
          (?:{_landline("AREA-LOCAL", "-[0-9]{4}")}) {_END})
    | {_START} (?:
        (?P<toll_free> \(?(?:0120|0570|0990)\)?[-\ ]?(?:[0-9]{{3}}[-\ ]?[0-9]{{3}}|[0-9]{{2}}-[0-9]{{4}})
            | 0800[-\ ][0-9]{{3}}[-\ ]?[0-9]{{4}})
        | (?P<mobile> 0[5-9]0
              (?:{_HYPHEN}[0-9]{{4}}{_HYPHEN}|\([0-9]{{4}}\)-?|-[0-9]{{4}}|[0-9]{{4}}-)
              [0-9]{{4}}
            | \(0[5-9]0\)[-\ ]?[0-9]{{4}}-?[0-9]{{4}})
        | (?P<spaced_mobile> 0[5-9]0[\ .][0-9]{{4}}[\ .][0-9]{{4}} | 0[5-9]0_[0-9]{{4}}_[0-9]{{4}}(?![_.][0-9A-Za-z]))
        | (?P<plain_mobile> 0[5-9]0[0-9]{{8}})
        | (?P<landline> (?:{_landline(f"AREA{_HYPHEN}LOCAL", f"{_HYPHEN}[0-9]{{4}}")})
            | (?:{_landline(r"[(]AREA[)][ -]?LOCAL", f"{_HYPHEN}[0-9]{{4}}")})
            | (?:{_landline(r"AREA[(]LOCAL[)][ -]?", "[0-9]{4}")}))
        | (?P<plain_landline> 0[1-9][0-9]{{8}} | {_landline("AREA[ .]LOCAL", "[ .-][0-9]{4}")})
        | (?P<my_number> [0-9]{{12}} | [0-9]{{4}}(?P<gap>[-\ ])[0-9]{{4}}(?P=gap)[0-9]{{4}}(?![-\ ][0-9]))
        | (?P<card> [0-9]{{4}}(?P<space>[-\ ])[0-9]{{4}}(?P=space)[0-9]{{4}}(?P=space)[0-9]{{4}}
              (?:(?P=space)[0-9]{{3}})?
            | 3[0-9]{{3}}(?P<other>[-\ ])[0-9]{{6}}(?P=other)[0-9]{{4,5}})
        | (?P<plain_card> [0-9]{{13,19}})
        | (?P<ip> (?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}})
        | (?P<seven> [0-9]{{7}})
    ) {_END}
    """,
    re.VERBOSE,
)
# What a group of the pattern is called outside, where that differs.
_KINDS = {
    "international": "phone",
    "mobile": "phone",
    "listed_mobile": "phone",
    "listed_landline": "phone",
    "plain_mobile": "phone",
    "landline": "phone",
    "plain_landline": "phone",
    "plain_card": "card",
}
# Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay.
_ISSUER = re.compile(
    "4|5[1-5]|22(?:2[1-9]|[3-9])|2[3-6]|27(?:[01]|20)|3[47]|3(?:0[0-59]|6|8|9)|35(?:2[89]|[3-8])|6(?:011|5|4[4-9])|62"
)
_PHONE_WORD = _words("電話|でんわ|TEL|FAX|ファックス|ファクス|携帯|ケータイ|連絡先|℡|☎|☏|📞|phone")
_MY_NUMBER_WORD = _words("マイナンバー|個人番号|my ?number")
_CARD_WORD = _words("カード|クレジット|card|credit|visa|master|jcb|amex|diners")
_NUMBERED = _words("(?:型番|品番|型式|型名|番号|コード|シリアル|製造|(?<![a-z])no)[^、。]{0,4}$")
_IP_WORD = _words(
    "(?<![a-z])(?:ip(?:v4|[ -]?address)?|host(?:name)?|remote)(?![a-z])"
    "|アドレス|ホスト|接続元|アクセス元|リモート|投稿者|荒らし"
)
_NOT_IP_WORD = _words("(?<![a-z])(?:v|ver|version|release)(?![a-z])|バージョン|(?<!出)版(?![画権])|リリース")
# 普通 and 当座 are words of every day: nothing but words of accounts may stand between them and the number.
_ACCOUNT_WORD = _words(r"(?:口座|普通|当座|\((?:普|当)\))(?:[\s:().#/-]|no|預金|口座|番号|種別|(?<=[金座号])は){0,8}\Z")
_AMOUNT = _words(
    "[ ,]?(?:[円人件台万千億兆個名株点回本枚冊社戸票頭匹口歳年月日部隻棟㎡%]"
    "|世帯|ドル|ユーロ|ウォン|元|ポイント|トン|キロ|メートル|k?[mg](?![a-z]))"
)
_PASSPORT_WORD = _words("旅券|パスポート|passport")
_NAME_END = re.compile(r"[0-9A-Za-z_=&?#%~@$]\Z|[A-Za-z]/\Z")
_COUNTRY = re.compile("^(?:00|010)?81")
_NEAR = 20


class Found(NamedTuple):
    """A span of the text."""

    start: int
    end: int
    kind: str


def find_numbers(text: str, kinds: Collection[str]) -> Iterator[Found]:
    """Numbers of these kinds, in order: phone, toll_free, postal_code, my_number, card, ip, bank_account, passport."""
    done = 0
    for run in _RUN.finditer(text):
        first = max(0, run.start() - _BEFORE)
        window = shadow(text[first : run.end() + _AFTER])
        begin, end = max(done, run.start() - _PREFIX) - first, run.end() - first
        for match in _NUMBER.finditer(window, max(0, begin)):
            if match.start() >= end:
                break
            found = _judged(match)
            if found is not None and found.kind in kinds:
                yield Found(first + found.start, first + found.end, found.kind)
            done = first + match.end()


def _judged(match: re.Match[str]) -> Found | None:
    """What the match is, once its digits and its surroundings are looked at."""
    group = match.lastgroup or ""
    if group in ("gap", "space", "other"):  # these close last inside their kind
        group = "my_number" if group == "gap" else "card"
    number = _Number(match)
    kind = _JUDGES[group](number) if group in _JUDGES else group
    if not kind:
        return None
    start = match.start() - (2 if kind == "passport" else 0)
    return Found(start, match.end(), _KINDS.get(kind, kind))


class _Number:
    def __init__(self, match: re.Match[str]) -> None:
        self.text = match[0]
        self.digits = "".join(filter(str.isdigit, match[0]))
        self.before = match.string[max(0, match.start() - _NEAR) : match.start()]
        self.after = match.string[match.end() : match.end() + _NEAR]

    def is_part_of_a_name(self) -> bool:
        """Whether letters or an address go on into the number: ab0901234567, ?id=0901234567, T1234567890123."""
        return _NAME_END.search(self.before) is not None


def _international(number: _Number) -> str | None:
    digits = _COUNTRY.sub("", number.digits).removeprefix("0")
    return "phone" if len(digits) == 9 or (len(digits) == 10 and digits[0] in "56789" and digits[1] == "0") else None


def _spaced_mobile(number: _Number) -> str | None:
    """Three groups of digits are often parts of a table, or the name of a product."""
    if _PHONE_WORD.search(number.before):
        return "phone"
    beside = re.search(r"[0-9] \Z", number.before) or re.match(" [0-9]", number.after)
    return None if beside or _NUMBERED.search(number.before) or number.is_part_of_a_name() else "phone"


def _plain_mobile(number: _Number) -> str | None:
    return "phone" if not number.is_part_of_a_name() or _PHONE_WORD.search(number.before) else None


def _plain_landline(number: _Number) -> str | None:
    return "phone" if _PHONE_WORD.search(number.before) else None


def _my_number(number: _Number) -> str | None:
    near = _MY_NUMBER_WORD.search(number.before) or _MY_NUMBER_WORD.search(number.after)
    return "my_number" if near and is_my_number(number.digits) else None


def _card(number: _Number) -> str | None:
    return "card" if _ISSUER.match(number.digits) and is_luhn(number.digits) else None


def _plain_card(number: _Number) -> str | None:
    # 13 digits from 45 or 49 are Japanese article numbers, and most long numbers are no cards.
    usual = len(number.digits) == 16 or (len(number.digits) == 15 and number.digits[:2] in ("34", "37"))
    if number.is_part_of_a_name() or not (usual or _CARD_WORD.search(number.before)):
        return None
    return _card(number)


def _ip(number: _Number) -> str | None:
    if not _IP_WORD.search(number.before) or _NOT_IP_WORD.search(number.before):
        return None
    try:
        return "ip" if ipaddress.ip_address(number.text).is_global else None
    except ValueError:
        return None


def _seven(number: _Number) -> str | None:
    if re.search("(?<![A-Z])[A-Z]{2}$", number.before) and _PASSPORT_WORD.search(number.before):
        return "passport"
    if not _ACCOUNT_WORD.search(number.before) or _AMOUNT.match(number.after):
        return None
    return "bank_account" if not number.is_part_of_a_name() else None


_JUDGES: dict[str, Callable[[_Number], str | None]] = {
    "international": _international,
    "spaced_mobile": _spaced_mobile,
    "plain_mobile": _plain_mobile,
    "plain_landline": _plain_landline,
    "my_number": _my_number,
    "card": _card,
    "plain_card": _plain_card,
    "ip": _ip,
    "seven": _seven,
}
