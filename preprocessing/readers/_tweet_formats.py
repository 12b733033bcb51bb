"""One tweet, as the API (v1.1 and v2) and the archive write it: its text, and what decides whether to learn from it.

Offsets of entities count code points of a text in which &, < and > are escaped (some newer records: UTF-16 units). They
are taken only where the text really has the entity there, and moved to the text as it reads.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from preprocessing.decoding import Undecodable
from preprocessing.readers._json import text_of

_ESCAPED = re.compile("&(amp|lt|gt);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">"}
_RETWEET = re.compile(r"RT @\w+:? ")
_STATUS_LINK = re.compile(r"https?://(?:\w+\.)?(?:twitter|x)\.com/[^/]+/status/\d+(?!/photo|/video)")
_MEDIA_LINK = re.compile(r"https?://(?:\w+\.)?(?:twitter|x)\.com/[^/]+/status/\d+/(?:photo|video)/")
_TAG = re.compile("<[^>]*>")
_V1_TIME = re.compile(r"\w{3} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (\d\d) (\d\d:\d\d:\d\d) \+0000 (\d{4})")
_ARCHIVE_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) \+0000")
_V1_REPLY = (
    "in_reply_to_status_id_str", "in_reply_to_status_id", "in_reply_to_user_id_str", "in_reply_to_screen_name"
)  # fmt: skip
_V1_KEYS = frozenset({
    *_V1_REPLY, "id_str", "full_text", "extended_tweet", "retweeted", "retweeted_status", "quoted_status",
    "is_quote_status",
})  # fmt: skip
"""Any of them, and the tweet is of API v1.1: v2 has none."""
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


@dataclass(frozen=True, slots=True)
class Tweet:
    """Text, unescaped, and the facts that become `meta`."""

    text: str
    meta: dict[str, Any]


class _Entity(NamedTuple):
    kind: str
    """urls, hashtags or mentions."""
    start: Any
    end: Any
    surface: str


def unwrapped(record: Any) -> Iterator[Any]:
    """The tweets of one object: itself, those of a response, or the one of an archive's entry."""
    if isinstance(record, dict):
        for key in ("data", "statuses"):
            if isinstance(record.get(key), list):
                yield from record[key]
                return
        if _count_is_zero(record):
            return
        for key in ("data", "tweet"):
            if isinstance(record.get(key), dict):
                record = record[key]
                break
    yield record


def _count_is_zero(record: Mapping[str, Any]) -> bool:
    """A response that found nothing has no `data`."""
    return isinstance(record.get("meta"), dict) and record["meta"].get("result_count") == 0


def tweet_of(record: Any) -> Tweet:
    """Read one tweet.

    Raises:
        Undecodable: `no_tweet`, `no_text` or `text_is_no_string`.
    """
    if not isinstance(record, dict):
        raise Undecodable("no_tweet")
    if not _V1_KEYS.isdisjoint(record):
        return _tweet_v1(record)
    if "id" in record and "text" in record:
        return _tweet_v2(record)
    raise Undecodable("no_tweet")


def _tweet_v2(record: Mapping[str, Any]) -> Tweet:
    note = _object(record, "note_tweet")
    whole = note if isinstance(note.get("text"), str) else record
    entities = _object(whole, "entities")
    references = {_string(item, "type") for item in _objects(record, "referenced_tweets")}
    found, links, media = [], [], bool(_object(record, "attachments").get("media_keys"))
    for item in _objects(entities, "urls"):
        found.append(_Entity("urls", item.get("start"), item.get("end"), _string(item, "url")))
        if "media_key" in item or _MEDIA_LINK.match(_string(item, "expanded_url")):
            media = True
        else:
            links.append(_string(item, "expanded_url") or _string(item, "url"))
    for key, name, sign in (("hashtags", "tag", "#"), ("mentions", "username", "@")):
        found += [
            _Entity(key, item.get("start"), item.get("end"), sign + _string(item, name))
            for item in _objects(entities, key)
        ]
    kinds = {
        "retweet": "retweeted" in references,
        "reply": "replied_to" in references or record.get("in_reply_to_user_id") is not None,
        "quote": "quoted" in references,
        "media": media,
    }
    facts = {
        "id": _id(record, "id"),
        "author": _id(record, "author_id") or _id(_object(record, "author"), "id"),
        "conversation": _id(record, "conversation_id"),
    }
    return _tweet(record, text_of(dict(whole), "text"), found, links, kinds, facts)


def _tweet_v1(record: Mapping[str, Any]) -> Tweet:
    extended = _object(record, "extended_tweet")
    whole = extended if isinstance(extended.get("full_text"), str) else record
    entities = _object(whole, "entities")
    pictures = [*_objects(_object(whole, "extended_entities"), "media"), *_objects(entities, "media")]
    found, links = [], []
    for item in _objects(entities, "urls"):
        found.append(_Entity("urls", *_indices(item), _string(item, "url")))
        links.append(_string(item, "expanded_url") or _string(item, "url"))
    found += [_Entity("urls", *_indices(item), _string(item, "url")) for item in pictures]
    tags = _objects(entities, "hashtags")
    found += [_Entity("hashtags", *_indices(item), "#" + _string(item, "text")) for item in tags]
    mentions = _objects(entities, "user_mentions")
    found += [_Entity("mentions", *_indices(item), "@" + _string(item, "screen_name")) for item in mentions]
    kinds = {
        "retweet": bool(record.get("retweeted_status")),
        "reply": any(record.get(key) for key in _V1_REPLY),
        "quote": bool(record.get("is_quote_status") or record.get("quoted_status"))
        or any(_STATUS_LINK.match(link) for link in links),
        "media": bool(pictures),
        "truncated": record.get("truncated") is True and whole is record,
    }
    user = _object(record, "user")
    facts = {
        "id": _id(record, "id_str") or _id(record, "id"),
        "author": _id(user, "id_str") or _id(user, "id") or _string(user, "screen_name"),
        "conversation": _id(record, "conversation_id_str"),
    }
    return _tweet(record, text_of(dict(whole), "full_text", "text"), found, links, kinds, facts)


def _tweet(
    record: Mapping[str, Any],
    text: str,
    entities: list[_Entity],
    links: list[str],
    kinds: dict[str, bool],
    facts: dict[str, Any],
) -> Tweet:
    """What both forms have in common."""
    hashtags = [entity.surface[1:] for entity in entities if entity.kind == "hashtags"]
    kinds["retweet"] = kinds["retweet"] or _RETWEET.match(text) is not None  # an archive has no other sign
    kinds |= {"url": bool(links), "hashtag": bool(hashtags)}
    plain, spans = _unescaped(text, _spans(text, entities))
    facts |= {
        "created_at": _time(_string(record, "created_at")),
        "lang": _string(record, "lang"),
        "source": html.unescape(_TAG.sub("", _string(record, "source"))),
        "kinds": [kind for kind in sorted(kinds) if kinds[kind]],
        "urls": [link for link in links if link],
        "hashtags": [hashtag for hashtag in hashtags if hashtag],
        "spans": spans,
    }
    return Tweet(plain, {key: value for key, value in facts.items() if value})


def _spans(text: str, entities: list[_Entity]) -> dict[str, list[list[int]]]:
    """Kind -> [start, end] of the entities that the text has where they say, in order."""
    units: list[int] | None = None
    found: dict[str, set[tuple[int, int]]] = {}
    for entity in entities:
        start, end = _number(entity.start), _number(entity.end)
        if start is None or end is None or len(entity.surface) < 2:
            continue
        if not _is_at(text, start, end, entity.surface):
            units = units or _code_points_by_unit(text)
            if max(start, end) >= len(units):
                continue
            start, end = units[start], units[end]
            if not _is_at(text, start, end, entity.surface):
                continue
        found.setdefault(entity.kind, set()).add((start, end))
    return {kind: [list(span) for span in sorted(found[kind])] for kind in sorted(found)}


def _is_at(text: str, start: int, end: int, surface: str) -> bool:
    """Names may differ in case, and their signs in width."""
    there = text[start:end].replace("＃", "#").replace("＠", "@")
    return 0 <= start < end and there.lower() == surface.lower()


def _code_points_by_unit(text: str) -> list[int]:
    """Index of the code point at each UTF-16 unit of `text`, and its length at the end."""
    return [place for place, sign in enumerate(text) for _ in range(1 + (ord(sign) > 0xFFFF))] + [len(text)]


def _unescaped(text: str, spans: dict[str, list[list[int]]]) -> tuple[str, dict[str, list[list[int]]]]:
    """The text with &, < and > themselves, and the spans in it."""
    if "&" not in text:
        return text, spans
    escapes = list(_ESCAPED.finditer(text))
    ends = [escape.end() for escape in escapes]
    shifts = [0, *accumulate(len(escape[0]) - 1 for escape in escapes)]
    moved = {
        kind: [[place - shifts[bisect_right(ends, place)] for place in span] for span in listed]
        for kind, listed in spans.items()
    }
    return _ESCAPED.sub(lambda escape: _CHARACTERS[escape[1]], text), moved


def _time(value: str) -> str:
    """ISO 8601 in UTC; what has another form stays as it is."""
    if match := _V1_TIME.fullmatch(value):
        return f"{match[4]}-{_MONTHS.index(match[1]) // 3 + 1:02d}-{match[2]}T{match[3]}Z"
    if match := _ARCHIVE_TIME.fullmatch(value):
        return f"{match[1]}T{match[2]}Z"
    return value


def _number(value: Any) -> int | None:
    """An offset; archives write them as strings."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and value >= 0 else None


def _indices(item: Mapping[str, Any]) -> tuple[Any, Any]:
    indices = item.get("indices")
    return (indices[0], indices[1]) if isinstance(indices, list) and len(indices) == 2 else (None, None)


def _string(value: Mapping[str, Any], key: str) -> str:
    """The string under `key`; empty if there is none, or anything else."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _id(value: Mapping[str, Any], key: str) -> str:
    """An id, which some write as a number."""
    found = value.get(key)
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else _string(value, key)


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _objects(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    inner = value.get(key)
    return [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []
