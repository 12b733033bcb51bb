"""Markup that an extractor left behind: wikitext, HTML, entities."""

import re

from pydantic import Field

from preprocessing.document import Document
from preprocessing.step import Filter

_SIGNS = "{[<&_'"
_MARKUP = re.compile(
    r"\{\{|\}\}|\{\||\|\}|\[\[|\]\]|'''?|__[A-Z]{3,}__|&(?:nbsp|amp|lt|gt|quot|#\d{1,7});"
    r"|</?(?:a|b|br|div|em|font|h[1-6]|i|img|li|p|ref|script|span|style|sup|sub|table|td|th|tr|ul)\b[^<>\n]{0,300}>"
)


class MarkupFilter(Filter):
    """Drops `markup`: more than so many remains for so much text. Text about markup has many, too."""

    maximum: float = Field(default=0.005, ge=0, le=1)
    """Highest number of remains per character: {{ }} {| |} [[ ]] '' ''' __NOTOC__ &nbsp; and HTML tags."""

    def reason(self, document: Document) -> str | None:
        text = document.text
        if not any(sign in text for sign in _SIGNS):
            return None
        return "markup" if len(_MARKUP.findall(text)) > self.maximum * len(text) else None
