"""Pages of comments, reviews and shop listings: dates, weekdays and the words of such pages, again and again."""

import re

from pydantic import NonNegativeInt

from preprocessing.document import Document
from preprocessing.step import Filter

_MARKS = re.compile(
    r"\d{4}[年.\-/] *\d{1,2}[月.\-/] *\d{1,2}日*"
    r"|コメント|SOLD OUT|レビュー|投稿|ページ|質問|楽天市場|\([月火水木金土日]\)|\d話"
)


class ForumFilter(Filter):
    """Drops `forum`: more of these marks than allowed. From HojiChar's DiscardBBSComments."""

    maximum: NonNegativeInt = 14
    """Highest number of marks."""
    hyphens: bool = False
    """Count every other - too, as published; that rejects a fifth of Japanese manuals."""

    def reason(self, document: Document) -> str | None:
        text = document.text
        found = _MARKS.findall(text)
        number = len(found)
        if self.hyphens:
            number += text.count("-") - sum(mark.count("-") for mark in found)
        return "forum" if number > self.maximum else None
