"""The length of a text as X counts it (developer.x.com, "Counting characters", configuration version 3).

After NFC, a character weighs 1 in U+0000-10FF, U+2000-200D, U+2010-201F and U+2032-2037, else 2; an emoji weighs 2
however many code points it is made of, and a link 23 however long it is. A post may weigh 280.

Links are recognised generously, because X goes by a list of top-level domains that changes: what may be a link weighs
at least 23, and less than its characters only where it surely is one. Joined emoji count as one, also where X's own
list does not know them yet. Apart from these and from odd texts like "https://example.com.http://" a weight is never
less than that of X, which otherwise refuses the text.
"""

import re
import unicodedata

MOST = 280

_LINK = 23
_LIGHT = ((0x0000, 0x10FF), (0x2000, 0x200D), (0x2010, 0x201F), (0x2032, 0x2037))
_REST = r"[a-z0-9!*';:=+,.$/%#\[\]_~@|&?-]"
_EAST_ASIAN_TOPS = (
    "삼성|닷컴|닷넷|한국|香港|澳門|新加坡|台灣|台湾|中國|中国|香格里拉|餐厅|食品|飞利浦|電訊盈科|集团|通販|购物"
    "|谷歌|诺基亚|联通|网络|网站|网店|网址|组织机构|移动|珠宝|点看|游戏|淡马锡|机构|書籍|时尚|新闻|政府|政务"
    "|招聘|手表|手机|我爱你|慈善|微博|广东|工行|家電|娱乐|天主教|大拿|大众汽车|在线|嘉里|商标|商店|商城|公益"
    "|公司|八卦|健康|信息|佛山|企业|中文网|中信|世界|ポイント|ファッション|セール|ストア|コム|グーグル|クラウド"
    "|みんな"
)
"""Of X's list: in Japanese text, other words behind "1." are no domains."""
_LATIN = "a-z\u00c0-\u024f"
LINK = re.compile(
    rf"(?P<site>(?P<protocol>https?://)?(?:[{_LATIN}0-9_-]+\.)+"
    rf"(?P<top>[a-z]{{2,}}|xn--[a-z0-9]+|[\u0370-\u1fff]{{2,}}|{_EAST_ASIAN_TOPS})(?![0-9a-z@+-]))(?P<rest>(?::[0-9]+)?"
    rf"(?:/(?:{_REST}*[a-z0-9=_#/+&-])?|\?{_REST}*[a-z0-9=_#/+&-])?)"
    r"|https?://(?=\S)",  # a domain of other characters; these are counted as text
    re.IGNORECASE | re.ASCII,
)
_INSIDE = re.compile(r"[a-z0-9@＠$#＃]", re.IGNORECASE | re.ASCII)
"""Behind one of these X takes nothing for a link."""
_SURELY = re.compile("[a-z]{2}|com|net|org|info|biz|edu|gov|app|dev|blog|shop|site|online|tokyo|xyz", re.IGNORECASE)

# Blocks with emoji in them (Unicode Technical Standard 51): what is no emoji there weighs 2 as well.
_PICTURE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d"
    "\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001faff]"
)
_CHANGED = "(?:\ufe0f|[\U0001f3fb-\U0001f3ff])?(?:[\U000e0020-\U000e007e]+\U000e007f)?"
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"  # a flag
    "|[0-9#*]\ufe0f?\u20e3"  # a key
    f"|{_PICTURE}{_CHANGED}(?:\u200d{_PICTURE}{_CHANGED})*"
)

_INVALID = re.compile("[\ufffe\ufeff\uffff\ud800-\udfff]")


def weight(text: str) -> int:
    """The length of `text` as X counts it; at most MOST can be posted."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    total = place = 0
    for link in LINK.finditer(text):
        start, end = link.span()
        total += _without_links(text[place:start])
        is_inside = _INSIDE.match(text, start - 1) if start else None
        sure = link["protocol"] and not is_inside and _SURELY.fullmatch(link["top"] or "")
        total += _LINK if sure else max(_LINK, _without_links(link["site"] or "")) + _without_links(link["rest"] or "")
        place = end
    return total + _without_links(text[place:])


def invalid_character(text: str) -> str | None:
    """The first character that X refuses, if there is one."""
    found = _INVALID.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def _without_links(text: str) -> int:
    rest, emoji = _EMOJI.subn("", text)
    return 2 * emoji + sum(map(_weight_of, rest))


def _weight_of(character: str) -> int:
    return 1 if any(first <= ord(character) <= last for first, last in _LIGHT) else 2
