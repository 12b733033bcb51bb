import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw import config, read, texts
from tweets import READER, dumped, kinds, one, v2

from preprocessing.document import Rejected
from preprocessing.readers.tweets import TweetsReader


def test_the_preset_keeps_what_stands_for_itself(tmp_path):
    from raw import cleaned

    from preprocessing.clean import clean_unit
    from preprocessing.plan import Planner, find_files

    records = [
        v2("おはよう！！！！！！！！！　今日は&lt;雨&gt;らしい"),
        v2("RT @taro: おはようございます"),
        v2("@taro おはようございます", in_reply_to_user_id="3"),
        v2("これを見てください https://t.co/abc"),
        v2("朝の写真をとりました", attachments={"media_keys": ["1"]}),
        v2("雨の朝はつらいものです #雨"),
        v2("毎時の天気をお知らせします", source="twittbot.net"),
        v2("Good morning everyone, how are you?"),
        v2("短い"),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(map(dumped, records)) + b"\n{")
    wanted = config(tmp_path / "out", [tmp_path / "a.jsonl"], reader={"type": "tweets"}, steps=[{"preset": "tweets"}])
    (unit,) = Planner("web", 1 << 20, None, (), 200.0, False).units(find_files([str(tmp_path / "a.jsonl")], (), 200.0))
    counts = clean_unit(wanted, unit)["counts"]
    assert [record["text"] for record in cleaned(tmp_path / "out")] == ["おはよう！！！ 今日は<雨>らしい"]
    assert counts["rejected"] == {"json": 1}
    assert counts["dropped"] == {
        "tweets.retweet": 1,
        "tweets.reply": 1,
        "tweets.url": 1,
        "tweets.media": 1,
        "tweets.hashtag": 1,
        "tweets.bot": 1,
        "characters.not_japanese": 1,
        "length.too_short": 1,
    }


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=5) | st.just("retweeted"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "text", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = [
    "url",
    "expanded_url",
    "start",
    "end",
    "indices",
    "tag",
    "text",
    "username",
    "screen_name",
    "type",
    "media_key",
]
ENTITY = st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=6)
ENTITIES = st.dictionaries(
    st.sampled_from(["urls", "hashtags", "mentions", "user_mentions", "media"]), ANY_JSON | st.lists(ENTITY, max_size=3)
)
VALUE = ANY_JSON | ENTITIES | st.lists(ENTITY, max_size=3)
KEYS = {
    "id": VALUE,
    "id_str": VALUE,
    "text": st.just("本文") | VALUE,
    "full_text": st.just("全文") | VALUE,
    "note_tweet": VALUE | st.fixed_dictionaries({"text": st.just("長文"), "entities": ENTITIES}),
    "extended_tweet": VALUE | st.fixed_dictionaries({"full_text": st.just("長文"), "extended_entities": ENTITIES}),
    "entities": ENTITIES | VALUE,
    "extended_entities": ENTITIES | VALUE,
} | dict.fromkeys(
    [
        "referenced_tweets", "attachments", "in_reply_to_user_id", "author_id", "author", "conversation_id",
        "retweeted", "in_reply_to_status_id_str", "retweeted_status", "is_quote_status", "quoted_status", "user",
        "conversation_id_str", "source", "created_at", "lang", "data", "tweet", "meta", "statuses", "truncated",
    ],
    VALUE,
)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries({}, optional=KEYS), max_size=4))
def test_no_value_under_any_key_stops_the_reader(records):
    raw = b"\n".join(json.dumps(record).encode() for record in records)
    count = len(read(READER, raw))
    for group, alone in (("author_day", ()), ("conversation", ())):
        found = read(TweetsReader(group=group, alone=alone), raw)
        assert sum(1 if isinstance(item, Rejected) else item.meta.get("tweets", 1) for item in found) == count


def test_values_of_other_kinds_are_not_kept():
    record = v2(
        referenced_tweets=[{"type": []}, {"type": "quoted"}],
        conversation_id={"a": 1},
        author_id=42,
        lang=3,
        created_at=True,
        source=["x"],
        entities={"hashtags": [{"tag": None, "start": 0, "end": 1}], "urls": [{"url": [], "expanded_url": {}}]},
    )
    assert one(record).meta == {"id": "1", "author": "42", "kinds": ["hashtag", "quote", "url"]}


@pytest.mark.parametrize("record", [{"id_str": "", "text": "夜"}, {"id": {}, "text": "夜"}])
def test_a_tweet_without_an_id_joins_a_group_too(record):
    later = {"created_at": "2021-05-01T20:00:00.000Z", "conversation_id": "1"}
    raw = b"\n".join(map(dumped, [v2("昼", 5, **later), {**record, **later}]))
    found = read(TweetsReader(group="author_day"), raw)
    assert texts(found) == ["夜\n昼"]


def test_api_v1_is_known_without_id_str_or_full_text():
    record = {"id": 5, "text": "そうですね", "user": {"id": 7, "screen_name": "taro"}}
    answer = one(record | {"in_reply_to_status_id_str": "4", "in_reply_to_screen_name": "jiro"})
    assert answer.meta == {"id": "5", "author": "7", "kinds": ["reply"]}
    assert kinds(record | {"retweeted_status": {"id": 4}, "in_reply_to_status_id_str": None}) == ["retweet"]
    assert kinds(record | {"is_quote_status": True}) == ["quote"]
    assert kinds(record | {"in_reply_to_status_id": None}) == []
