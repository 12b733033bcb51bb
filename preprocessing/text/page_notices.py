"""Footers, and what pages say about themselves: cookies, logging in, copyright. These lines may be sentences."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from preprocessing.text.page_evidence import MAXIMUM_LENGTH, Evidence, PageLine, page_line

_FOOTER = re.compile(
    r"©(?!\s?(?:の|は|と|が|を|や)(?![\u3041-\u3096]))|\(c\)\s?(?:copyright|(?:19|20)\d\d|[a-z]{3}|\S*(?:会社|社|委員会|大学|協会))|copyright\s?(?:©|\(c\)|(?:19"
    r"|20)\d\d|by\b|:)|^copyrights?\b"
    r"|all\s?rights?\s?reserved(?!\s?(?:とは|の|という))|some rights reserved"
    r"|theme by [a-z]|creative commons|proudly powered"
    r"|^\W*(?:(?:this|our)\s)?(?:(?:web\s?)?(?:site|page)\s)?(?:is\s)?(?:powered|designed|created|produced) by [a-z]"
)
_MADE_BY = re.compile("(?:powered|designed|created|produced) by [a-z]")
_FOOTER_SIGN = re.compile(r"©|\(c\)|right| by |powered|commons")
_FORBIDDEN = re.compile(
    "無断(?:での?)?(?:転載|複製|使用|転用|引用|コピー|掲載|利用|リンク)[^。]{0,24}(?:禁|お断り|断り|ご遠慮|できません)|禁無断(?:転載|複製)|(?:転載|複製"
    "|複写)(?:は|を)?(?:一切|固く)?(?:禁止|禁じ|お断り)|無断転載(?:禁止|不可|厳禁)|著作権は[^。]{1,30}(?:に?帰属|に?属し|にあります|が(?:有|所有|保有))"
)
# Sentences about cookies or copyright are ordinary ones unless they speak to the reader of this page, politely.
_ADDRESS = re.compile(
    "(?:当|本|この)(?:サイト|ブログ|ページ|ホームページ|ウェブ|web|コンテンツ|記事|コーナー)|当[社店院館]|弊社"
    "|(?:サイト|ページ|記事|ブログ|ショップ)[内上]|お使いの|ご利用|ご使用|ご覧|ご確認|ご了承|ご遠慮|ご注意|ご連絡|ご登録|お願い|お探し"
    "|ご指定|お読み|お届け|お問い?合わ?せ|お持ち|お済み|お忘れ|いただ|頂[きけく]|メールアドレスが公開|掲載時|コメントは|欄は必須"
)
_POLITE_END = re.compile(
    r"(?:ます|です|ません|ました|でした|ません?か|ましょう|しよう|ください|下さい|くださいませ|ね)[!！？?☆★♪]*。?\W*\Z"
)
_REQUEST_END = re.compile(r"(?:ください|下さい|くださいませ|お願い(?:し|いたし|致し)ます)[!！？?☆★♪]*。?\W*\Z")
_FORBIDS_END = re.compile(
    r"(?:禁じます|禁止(?:です|(?:と|し|いたし|致し|とさせていただき|しており)(?:ます)?)|(?:お断り|ご遠慮)(?:し|いたし|致し|ください|下さい|願い"
    r"|しており)(?:ます)?)。?\W*\Z"
)
_PLAIN_END = re.compile(r"(?:た|いる|ある|である|という)\Z")
_QUOTED = re.compile("「[^「」]*」|『[^『』]*』")
_LONGEST_SURE_BAN = 15
_RUN_BY = re.compile(r"(?:運営|運営会社|運営者|発行元?|制作|企画・?制作|サイト管理者?)\s?:\s?\S")
_LONGEST_SURE_NOTICE = 60


def footer(folded: str) -> PageLine | None:
    """What the line is if it is a footer; `folded` is NFKC in lower case."""
    if _FOOTER_SIGN.search(folded) and len(folded) <= MAXIMUM_LENGTH * 3 // 4:
        if _FOOTER.search(folded):
            return page_line("footer", Evidence.STRONG)
        if _MADE_BY.search(folded):
            return page_line("footer", Evidence.EDGE)
    return page_line("footer", Evidence.EDGE) if len(folded) <= 40 and _RUN_BY.match(folded) else None


def notices(
    text: str, lines: Sequence[str], signs: re.Pattern[str], patterns: re.Pattern[str]
) -> Iterator[tuple[int, PageLine]]:
    """Lines that say something about the page, sentences as well: the place of each, and what it is.

    Args:
        text: the document.
        lines: its lines.
        signs: words of which a line must have one; none spans a line end.
        patterns: of notices, for lines in lower case.
    """
    found = signs.search(text)
    if found is None:
        return
    ends = list(accumulate(len(line) + 1 for line in lines))
    while found is not None:
        place = bisect_right(ends, found.start())
        if notice := _notice(lines[place], patterns):
            yield place, notice
        found = signs.search(text, ends[place])


def _notice(line: str, patterns: re.Pattern[str]) -> PageLine | None:
    if len(line) > MAXIMUM_LENGTH:
        return None
    folded = line.strip().lower()
    if len(folded) <= MAXIMUM_LENGTH // 2 and _FORBIDDEN.search(folded):
        sure = len(folded) <= _LONGEST_SURE_BAN or _FORBIDS_END.search(folded)
        return page_line("footer", Evidence.STRONG if sure else _of_sentence(folded))
    if not patterns.search(folded):
        return None
    return page_line("notice", min(_of_sentence(folded), _of_length(folded)))


def _of_length(folded: str) -> Evidence:
    return Evidence.STRONG if len(folded) <= _LONGEST_SURE_NOTICE else Evidence.EDGE


def _of_sentence(folded: str) -> Evidence:
    """How sure a line that speaks of pages is one of this page; what is not written as a sentence is."""
    if "。" not in folded and not _PLAIN_END.search(folded):
        return Evidence.STRONG
    spoken = _QUOTED.sub("", folded)
    polite = _POLITE_END.search(spoken) is not None
    addressed = _ADDRESS.search(spoken) is not None
    if polite and (addressed or _REQUEST_END.search(spoken)):
        return Evidence.STRONG
    return Evidence.EDGE if polite or addressed else Evidence.WEAK
