"""Tweets of one author and day, or of one conversation, as one document: a tweet alone is too short for most rules."""

from collections.abc import Iterator
from typing import Any, Literal

from preprocessing.document import Document

GroupBy = Literal["author_day", "conversation"]
_HELD_TWEETS = 50_000
"""Some 150 MB."""


class TweetGroups:
    """Gathers tweets of one file; a group ends with the file, when it is too long, or when too many tweets are held."""

    def __init__(self, by: GroupBy, max_characters: int) -> None:
        self._by = by
        self._max_characters = max_characters
        self._groups: dict[tuple[Any, ...], list[Document]] = {}
        self._characters: dict[tuple[Any, ...], int] = {}
        self._held = 0

    def add(self, tweet: Document) -> Iterator[Document]:
        """Take a tweet; the groups that end with that. A tweet without author and day, or conversation, is alone."""
        key = self._key(tweet.meta)  # strings: the reader keeps nothing else of them
        if None in key:
            yield tweet
            return
        if self._characters.get(key, 0) + len(tweet.text) > self._max_characters and key in self._groups:
            yield self._end(key)
        self._groups.setdefault(key, []).append(tweet)
        self._characters[key] = self._characters.get(key, 0) + len(tweet.text) + 1
        self._held += 1
        while self._held > _HELD_TWEETS:
            yield self._end(next(iter(self._groups)))

    def rest(self) -> Iterator[Document]:
        """What is left when the file has ended, in the order in which the groups began."""
        for key in list(self._groups):
            yield self._end(key)

    def _key(self, meta: dict[str, Any]) -> tuple[Any, ...]:
        if self._by == "conversation":
            return (meta.get("conversation"),)
        # An archive is of one author and does not name it. The client is part of the key, for the filter of bots.
        day = meta.get("created_at")
        return (meta.get("author", ""), day[:10] if isinstance(day, str) else None, meta.get("source", ""))

    def _end(self, key: tuple[Any, ...]) -> Document:
        tweets = self._groups.pop(key)
        del self._characters[key]
        self._held -= len(tweets)
        return _joined(tweets, self._by) if len(tweets) > 1 else tweets[0]


def _number_of(tweet: Document) -> tuple[int, str]:
    """Sorts as the ids do as numbers; tweets without one come first."""
    id = tweet.meta.get("id", "")
    return len(id), id


def _joined(tweets: list[Document], by: GroupBy) -> Document:
    """One document, with the id of the tweet that was read first; tweets in the order of their ids, that is of time."""
    ordered = sorted(tweets, key=_number_of)
    kinds = {kind for tweet in tweets for kind in tweet.meta.get("kinds", ())}
    lists: dict[str, list[Any]] = {"urls": [], "hashtags": []}
    spans: dict[str, list[list[int]]] = {}
    start = 0
    for tweet in ordered:
        for key, values in lists.items():
            values += tweet.meta.get(key, ())
        for kind, listed in tweet.meta.get("spans", {}).items():
            spans.setdefault(kind, []).extend([start + place for place in span] for span in listed)
        start += len(tweet.text) + 1
    meta = ordered[0].meta | lists | {"spans": spans, "tweets": len(tweets)}
    # In its conversation a reply answers to something.
    meta["kinds"] = sorted(kinds - {"reply"} if by == "conversation" else kinds)
    text = "\n".join(tweet.text for tweet in ordered)
    meta = {key: value for key, value in meta.items() if value not in ([], {})}
    return Document(tweets[0].id, text, tweets[0].source, meta)
