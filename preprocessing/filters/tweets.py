"""Which tweets stand for themselves: the rules for collecting tweets of the first Japanese Twitter bots on GPT-2."""

import re
from functools import cached_property

from preprocessing.document import Document
from preprocessing.step import Filter
from preprocessing.text.word_lists import read_words, word_list_problems

# Also in a text without `meta`: the reader may have been another one.
_SIGNS = {
    "retweet": re.compile(r"RT @\w+:? "),
    "reply": re.compile(r"[@＠][A-Za-z0-9_]{1,15}(?![A-Za-z0-9_])"),
    "url": re.compile(r"https?://[^\s]|(?<![\w.])(?:t\.co|pic\.twitter\.com)/\w"),
    "hashtag": re.compile(r"(?<![\w&/])[#＃]\w*[^\W\d_]"),
}
_BOT = re.compile(r"bot(?![a-z])|ボット|自動投稿|自動ツイート|予約投稿|定期", re.IGNORECASE)
# Schedulers, feed posters, bot makers and services that post by themselves, by the name in `source`.
_CLIENTS = frozenset({
    "autotweety.net", "botbird tweets", "buffer", "buffer publish", "crowdfire app", "dlvr.it", "easybotter",
    "feedblitz", "foursquare", "foursquare swarm", "hootsuite", "hootsuite inc.", "hubspot", "ifttt", "jetpack.com",
    "meetedgar", "microsoft power platform", "nintendo switch share", "paper.li", "peing", "playstation®network",
    "postcron app", "recurpost", "revive social app", "rss2twitter", "socialdog for twitter", "socialflow",
    "socialoomph", "sprinklr", "sprout social", "statusbrew", "twitter for advertisers", "twitterfeed", "twittbot.net",
    "wordpress.com", "zapier.com", "zoho social",
})  # fmt: skip


class TweetsFilter(Filter):
    """Drops `retweet`, `reply`, `quote`, `url`, `hashtag`, `media`, `truncated` and `bot`; each can be switched off.

    A comment on a picture or a link means nothing without it, and an answer little without what it answers to.
    """

    retweet: bool = True
    """Also of an archive, where only `RT @name: ` tells."""
    reply: bool = True
    """To a tweet or a user, or beginning with @name."""
    quote: bool = True
    """With another tweet inside."""
    url: bool = True
    """With a link that is no picture."""
    hashtag: bool = True
    """With a hashtag: often a label, a campaign or the post of a service."""
    media: bool = True
    """With a picture or a video."""
    truncated: bool = True
    """Cut by the API, with the rest nowhere in the record (v1.1)."""
    bot: bool = True
    """From schedulers, feed posters and bot makers (a list of ours, and names with `bot`). Payloads of API v2 have not
    named the client (`source`) since December 2022: there this finds nothing."""
    bot_sources: tuple[str, ...] = ()
    """More clients, by their whole name in any case."""
    bot_source_files: tuple[str, ...] = ()
    """Files of more such names, one per line; `# ` begins a comment."""

    def files(self) -> tuple[str, ...]:
        return self.bot_source_files

    def problems(self) -> list[str]:
        return [problem for path in self.bot_source_files for problem in word_list_problems("bot_source_files", path)]

    def reason(self, document: Document) -> str | None:
        kinds = document.meta.get("kinds", ())
        for kind in ("retweet", "reply", "quote", "url", "hashtag", "media", "truncated"):
            if getattr(self, kind) and (kind in kinds or (kind in _SIGNS and self._shows(kind, document))):
                return kind
        source = document.meta.get("source")
        if self.bot and isinstance(source, str) and (source.lower() in self._bots or _BOT.search(source)):
            return "bot"
        return None

    def _shows(self, kind: str, document: Document) -> bool:
        """Whether the text itself shows what it is."""
        if kind in ("retweet", "reply"):
            return "tweets" not in document.meta and _SIGNS[kind].match(document.text) is not None
        if kind == "url" and "urls" in document.meta.get("spans", {}):
            return False  # they are known: links, of which `kinds` tells, or pictures
        return _SIGNS[kind].search(document.text) is not None

    @cached_property
    def _bots(self) -> frozenset[str]:
        listed = [name for path in self.bot_source_files for name in read_words(path)]
        given = {name.strip().lower() for name in (*self.bot_sources, *listed)} - {""}
        return _CLIENTS | given
