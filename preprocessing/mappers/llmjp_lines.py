"""The line cut of llm-jp-corpus v1 (`extract_japanese_text`): only lines with kana, without URLs and long ASCII."""

import re
from collections import Counter

from preprocessing.document import Document
from preprocessing.step import Mapper

# Unicode scripts Hiragana and Katakana, and the prolonged sound mark.
_KANA = re.compile(
    "[\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u32d0-\u32fe\u3300-\u3357\uff66-\uff6f"
    "\uff71-\uff9d\U0001b000-\U0001b167\U0001f200]"
)
_URL = r"https?://[\w/:%#$&?()~.=+\-]+"
_URL_OF_ASCII = re.compile(_URL, re.ASCII)
_URL_OF_LETTERS = re.compile(_URL)
_ASCII = "\x00-\x09\x0b-\x7f"
# Looks back, so that every run is tried once.
_LONG_ASCII = re.compile(f"(?<![{_ASCII}])[{_ASCII}]{{100,}}")


class LlmjpLinesMapper(Mapper):
    """Keeps lines with kana, and deletes URLs and runs of 100 or more ASCII characters in them.

    Tallies `lines` (without kana), `urls` and `ascii_runs`.
    """

    published: bool = False
    """As published: the lines are joined without a line end, and a URL runs on into Japanese text that touches it
    (every letter matches its pattern). Ours keeps the line ends, and a URL ends with ASCII."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        lines = document.text.split("\n")
        kept = [line for line in lines if _KANA.search(line)]
        tally["lines"] += sum(1 for line in lines if line) - len(kept)
        text = "\n".join(kept)
        if "http" in text:
            text, number = (_URL_OF_LETTERS if self.published else _URL_OF_ASCII).subn("", text)
            tally["urls"] += number
        text, number = _LONG_ASCII.subn("", text)
        tally["ascii_runs"] += number
        return text.replace("\n", "") if self.published else text
