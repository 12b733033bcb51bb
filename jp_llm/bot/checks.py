"""What may be posted."""

import re
import unicodedata
from pathlib import Path

from jp_llm.bot.config import BotConfig
from jp_llm.bot.length import LINK, invalid_character, weight
from jp_llm.bot.source import Candidate
from jp_llm.near_copies.verdict import NearCopyGuard
from jp_llm.runtime.errors import UserError

_MENTION = re.compile(r"[@＠][A-Za-z0-9_]+")
_SENTENCE_END = re.compile(r"[。．！？!?…]+[」』）)]*|[」』](?=\s*[「『])|\n")


class Checks:
    """The reasons not to post a text, in words.

    Raises:
        UserError: the word list or an index cannot be read.
    """

    def __init__(self, config: BotConfig) -> None:
        self._config = config
        self._words = read_words(Path(config.words_file).expanduser()) if config.words_file is not None else []
        self._guard = NearCopyGuard(config.index, config.limits)

    def prepared(self, candidate: Candidate) -> str:
        """The text as it would be posted."""
        text = candidate.written if self._config.with_prompt else candidate.text
        text = unicodedata.normalize("NFC", text).strip()
        return shortened(text, self._config.most_weight) if self._config.shorten else text

    def reason(self, text: str) -> str | None:
        """Why `text` is not posted; None if it may be."""
        config = self._config
        if not text:
            return "nothing is in it"
        if (character := invalid_character(text)) is not None:
            return f"X does not take the character {character}"
        if "\ufffd" in text:
            return "it holds \ufffd, a character of which the model wrote only a part"
        if (length := weight(text)) > config.most_weight:
            return f"too long: it weighs {length} of {config.most_weight}"
        if not config.allow_links and (link := LINK.search(text)):
            return f"a link: {link[0]}"
        if not config.allow_mentions and (mention := _MENTION.search(text)):
            return f"names an account: {mention[0]}"
        plain = _plain(text)
        if (word := next((word for word in self._words if word in plain), None)) is not None:
            return f"a word of the list: {word}"
        rejection = self._guard.rejection(text)
        return None if rejection is None else rejection[0]


def shortened(text: str, most_weight: int) -> str:
    """`text`, or its longest beginning of whole sentences that weighs at most `most_weight`; where not even the first
    sentence fits, the whole text."""
    if weight(text) <= most_weight:
        return text
    fitting = ""
    for end in _SENTENCE_END.finditer(text):
        beginning = text[: end.end()].strip()
        if weight(beginning) > most_weight:
            break
        fitting = beginning
    return fitting or text


def read_words(path: Path) -> list[str]:
    """The words of a list, normalised as texts are for the search.

    Raises:
        UserError: it cannot be read, is not UTF-8, or holds no word.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"words_file: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"words_file: {path} is not UTF-8 at byte {error.start}; convert it first") from error
    words = [_plain(word) for line in lines if (word := line.partition("#")[0].strip())]
    if not words:
        raise UserError(f"words_file: {path} holds no words; leave words_file out to post without a list")
    return words


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
