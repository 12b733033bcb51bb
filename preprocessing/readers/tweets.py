"""Tweets: JSON of the API (v1.1 and v2), with a response or a tweet per line or otherwise, and personal archives."""

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from preprocessing.decoding import Undecodable
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._json import encodable, parse
from preprocessing.readers._tweet_files import tweet_records
from preprocessing.readers._tweet_formats import tweet_of, unwrapped
from preprocessing.readers._tweet_groups import TweetGroups
from preprocessing.step import Reader

Kind = Literal["retweet", "reply", "quote", "url", "hashtag", "media", "truncated"]


class TweetsReader(Reader):
    """One document per tweet, or per group of tweets, whose text is not escaped any more.

    Keeps in `meta`, where they are stated: `id`, `author`, `created_at` (ISO 8601), `conversation`, `lang`, `source`
    (the client), `kinds` (those of `Kind` that hold, for the filter `tweets`), `urls`, `hashtags` and `spans` ([start,
    end] of links, hashtags and mentions, for the mapper `tweet_text`).

    Of an archive only `tweets.js`, `tweet.js` and `community-tweet.js` are read; every other part is one rejection
    (`private_part`), without a byte of its content. The offset of a tweet in a response is that of the response plus
    its place there.
    """

    lines: bool = False
    """Every file has one object per line, so that a large plain file may be divided among workers. Rejects then hold
    no bytes of it: behind a cut nothing tells whether it is a private part of an archive."""
    group: Literal["none", "author_day", "conversation"] = "none"
    """Join the tweets of a file that are of one author, day and client, or of one conversation, line by line."""
    alone: tuple[Kind, ...] = ("retweet", "reply", "quote", "url", "hashtag", "media", "truncated")
    """Kinds that are never joined: what a filter drops later must not take its group with it."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer lines or objects (a whole response) are rejected; groups end before they are longer."""

    @property
    def cut_at(self) -> Literal["line"] | None:
        return "line" if self.lines and self.group == "none" else None

    def problems(self) -> list[str]:
        if self.group == "conversation" and "reply" in self.alone:
            return ["alone: a conversation consists of replies; leave reply out"]
        return []

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        if self.group == "none":
            yield from self._tweets(raw)
            return
        groups = TweetGroups(self.group, self.max_document_bytes // 4)
        for tweet in self._tweets(raw):
            if isinstance(tweet, Rejected) or set(self.alone).intersection(tweet.meta.get("kinds", ())):
                yield tweet
            else:
                yield from groups.add(tweet)
        yield from groups.rest()

    def _tweets(self, raw: RawFile) -> Iterator[Document | Rejected]:
        for item in tweet_records(raw, self.max_document_bytes, lines=self.lines):
            if isinstance(item, Rejected):
                yield item
                continue
            position, data, problem = item
            try:
                if problem:
                    raise Undecodable(problem)
                value, suspect = parse(data)
            except Undecodable as error:
                yield raw.reject(position, error.reason, self._shown(data))
                continue
            for place, record in enumerate(unwrapped(value), position):
                try:
                    if suspect and not encodable(record):
                        raise Undecodable("lone_surrogate")
                    tweet = tweet_of(record)
                except Undecodable as error:
                    yield raw.reject(place, error.reason, self._shown(json.dumps(record).encode()))
                else:
                    yield raw.document(place, tweet.text, tweet.meta)

    def _shown(self, data: bytes) -> bytes:
        return b"" if self.lines else data
