import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import config, raw_file, read, texts

from preprocessing.document import Document, Rejected
from preprocessing.readers._json_objects import Objects
from preprocessing.readers.tweets import TweetsReader

READER = TweetsReader()


def v2(text="朝から雨が降っている。", number=1, **fields):
    return {"id": str(number), "text": text, "edit_history_tweet_ids": [str(number)], **fields}


def v1(text="朝から雨が降っている。", number=1, key="full_text", **fields):
    return {"id_str": str(number), "id": number, key: text, "retweeted": False, "entities": {}, **fields}


def dumped(value, **options):
    return json.dumps(value, ensure_ascii=False, **options).encode()


def one(record, reader=READER):
    (document,) = read(reader, dumped(record))
    assert isinstance(document, Document), document
    return document


def kinds(record):
    return one(record).meta.get("kinds", [])


def marked(document, kind):
    return [document.text[start:end] for start, end in document.meta.get("spans", {}).get(kind, [])]


def test_a_tweet_of_api_v2():
    text = "散歩 @taro と #公園 へ https://t.co/abcdefghij"
    record = v2(
        text,
        author_id="42",
        created_at="2021-05-01T12:34:56.000Z",
        lang="ja",
        conversation_id="1",
        entities={
            "mentions": [{"start": 3, "end": 8, "username": "Taro", "id": "7"}],
            "hashtags": [{"start": 11, "end": 14, "tag": "公園"}],
            "urls": [
                {
                    "start": 17,
                    "end": 40,
                    "url": "https://t.co/abcdefghij",
                    "expanded_url": "https://example.jp/",
                    "display_url": "example.jp",
                }
            ],
        },
    )
    document = one(record)
    assert document.text == text
    assert document.meta == {
        "id": "1",
        "author": "42",
        "conversation": "1",
        "created_at": "2021-05-01T12:34:56.000Z",
        "lang": "ja",
        "kinds": ["hashtag", "url"],
        "urls": ["https://example.jp/"],
        "hashtags": ["公園"],
        "spans": {"hashtags": [[11, 14]], "mentions": [[3, 8]], "urls": [[17, 40]]},
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"referenced_tweets": [{"type": "retweeted", "id": "9"}]}, ["retweet"]),
        ({"referenced_tweets": [{"type": "replied_to", "id": "9"}]}, ["reply"]),
        ({"in_reply_to_user_id": "9"}, ["reply"]),
        ({"referenced_tweets": [{"type": "quoted", "id": "9"}, {"type": "replied_to", "id": "8"}]}, ["quote", "reply"]),
        ({"attachments": {"media_keys": ["3_1"]}}, ["media"]),
        ({"entities": {"urls": [{"url": "https://t.co/a", "media_key": "3_1"}]}}, ["media"]),
        (
            {"entities": {"urls": [{"url": "https://t.co/a", "expanded_url": "https://x.com/a/status/1/photo/1"}]}},
            ["media"],
        ),
        ({"entities": {"urls": [{"url": "https://t.co/a", "expanded_url": "https://example.jp"}]}}, ["url"]),
        ({"entities": {"hashtags": [{"tag": "雨"}]}}, ["hashtag"]),
        ({"entities": None, "referenced_tweets": None, "attachments": None}, []),
    ],
)
def test_kinds_in_api_v2(fields, expected):
    assert kinds(v2(**fields)) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (v1(), []),
        (v1("RT @taro: 朝から雨が…"), ["retweet"]),  # an archive says retweeted: false
        (v1(retweeted_status={"id_str": "9"}), ["retweet"]),
        (v1(in_reply_to_status_id_str="9", in_reply_to_screen_name="taro"), ["reply"]),
        (v1(in_reply_to_user_id_str="9"), ["reply"]),
        (v1(in_reply_to_status_id_str=None, in_reply_to_user_id_str=None), []),
        (v1(is_quote_status=True), ["quote"]),
        (
            v1(entities={"urls": [{"url": "https://t.co/a", "expanded_url": "https://twitter.com/a/status/1"}]}),
            ["quote", "url"],
        ),
        (v1(extended_entities={"media": [{"url": "https://t.co/a"}]}), ["media"]),
        (v1(entities={"media": [{"url": "https://t.co/a"}]}), ["media"]),
        (v1("朝から雨が…", key="text", truncated=True), ["truncated"]),
        (v1("RTって何", key="text"), []),
    ],
)
def test_kinds_in_api_v1_and_archives(record, expected):
    assert kinds(record) == expected


def test_long_tweets_are_whole():
    assert one(v2("短い", note_tweet={"text": "長い全文", "entities": {"hashtags": [{"tag": "x"}]}})).text == "長い全文"
    extended = v1(
        "短い…", key="text", truncated=True, extended_tweet={"full_text": "長い全文", "entities": {"media": [{}]}}
    )
    assert (one(extended).text, kinds(extended)) == ("長い全文", ["media"])


def test_an_archive_tweet():
    record = v1(
        "@taro &lt;傘&gt; &amp; #雨具",
        created_at="Sat Dec 06 18:20:30 +0000 2025",
        source='<a href="http://twitter.com/download/iphone" rel="nofollow">Twitter for iPhone</a>',
        lang="ja",
        display_text_range=["0", "27"],
        entities={
            "hashtags": [{"text": "雨具", "indices": ["22", "25"]}],
            "user_mentions": [{"screen_name": "taro", "indices": ["0", "5"]}],
        },
    )
    document = one({"tweet": record})
    assert document.text == "@taro <傘> & #雨具"
    assert document.meta["created_at"] == "2025-12-06T18:20:30Z"
    assert document.meta["source"] == "Twitter for iPhone"
    assert (marked(document, "hashtags"), marked(document, "mentions")) == (["#雨具"], ["@taro"])


def test_only_the_signs_that_are_escaped_are_unescaped_and_once():
    assert one(v2("&amp;lt; &copy; &quot; &amp;amp;")).text == "&lt; &copy; &quot; &amp;"


def test_offsets_in_code_points_or_utf16_units_and_none_that_is_wrong():
    text = "😀😀 #雨 #雪"
    tags = [{"tag": "雨", "start": 3, "end": 5}, {"tag": "雪", "start": 8, "end": 10}]  # the second in UTF-16 units
    assert marked(one(v2(text, entities={"hashtags": tags})), "hashtags") == ["#雨", "#雪"]
    for start, end in ((0, 2), (-7, -5), (3, 900), ("x", None), (5, 3), (900, 3)):
        wrong = [{"tag": "雨", "start": start, "end": end}]
        document = one(v2(text, entities={"hashtags": wrong}))
        assert marked(document, "hashtags") == []
        assert document.meta["hashtags"] == ["雨"]


@given(st.lists(st.sampled_from(["&amp;", "&lt;", "&", "😀", "雨", " ", "&gt;"]), max_size=12), st.booleans())
def test_spans_move_with_the_text(parts, units):
    before = "".join(parts)
    start = len(before.encode("utf-16-le")) // 2 if units else len(before)
    tags = [{"tag": "傘", "start": start, "end": start + 2}]
    document = one(v2(before + "#傘", entities={"hashtags": tags}))
    assert marked(document, "hashtags") == ["#傘"]


def test_old_archives_state_times_otherwise():
    assert one(v1(created_at="2012-05-31 12:00:00 +0000")).meta["created_at"] == "2012-05-31T12:00:00Z"
    assert one(v1(created_at="yesterday")).meta["created_at"] == "yesterday"


TWEETS = [v2(f'{number}番目のつぶやき {{"[', number) for number in range(5)]
WRAPPED = [{"tweet": v1(f'{number}番目のつぶやき {{"[', number)} for number in range(5)]
EXPECTED = [tweet["text"] for tweet in TWEETS]


@pytest.mark.parametrize(
    "raw",
    [
        b"\n".join(map(dumped, TWEETS)),
        b"\r\n\n".join(map(dumped, TWEETS)) + b"\n",
        dumped({"data": TWEETS, "includes": {"users": []}, "meta": {"result_count": 5}}),
        dumped({"data": TWEETS}, indent=2),
        dumped({"statuses": TWEETS}),
        dumped({"data": TWEETS[:2]}) + b"\n" + dumped({"data": TWEETS[2:]}) + b"\n",
        b"\n".join(dumped({"data": tweet, "matching_rules": []}) for tweet in TWEETS),
        dumped(TWEETS),
        dumped(TWEETS, indent=1),
        b"[\n" + b",\n".join(map(dumped, TWEETS)) + b"\n]\n",
        b"".join(dumped(tweet, indent=0) for tweet in TWEETS),
        b"window.YTD.tweets.part0 = " + dumped(WRAPPED, indent=2),
        b"window.YTD.tweet.part12=" + dumped(WRAPPED),
        b"window.YTD.tweet.part0 = " + dumped([item["tweet"] for item in WRAPPED], indent=2),
        b"window.YTD.community_tweet.part0 = " + dumped(WRAPPED) + b";\n",
        b"\xef\xbb\xbfwindow.YTD.tweets.part0 = " + dumped(WRAPPED),
        b"Grailbird.data.tweets_2012_05 = \n " + dumped([item["tweet"] for item in WRAPPED], indent=2),
    ],
)
def test_every_layout(raw):
    found = read(READER, raw)
    assert texts(found) == EXPECTED
    assert len({document.id for document in found}) == 5
    for document in found[:1]:
        position = int(document.id.rpartition("#")[2])
        assert raw[position : position + 1] == b"{"


@pytest.mark.parametrize(
    "raw",
    [
        b'window.YTD.direct_messages.part0 = [ {"dmConversation": {"secret": 1}} ]',
        b'window.YTD.direct_message_headers.part0 = [ {"text": "secret", "id": "1"} ]',
        b'window.YTD.deleted_tweets.part0 = [ {"tweet": {"id_str": "1", "full_text": "secret"}} ]',
        b'window.YTD.account.part0 = [ {"account": {"email": "secret"}} ]',
        b'window.__THAR_CONFIG = {"userInfo": "secret"}',
        b'window.YTD.like.part0 = [ {"like": {"fullText": "secret"}} ]',
    ],
)
def test_private_parts_of_an_archive_are_not_read(raw):
    for reader in (READER, TweetsReader(lines=True)):
        (found,) = read(reader, raw)
        assert found.reason == "private_part"
        assert "secret" not in found.start


def test_rejects_of_lines_hold_nothing_of_the_file():
    part = b'    "text" : "secret"\n  },\n{"dmConversation": {"text": "secret"}}\n' + dumped(TWEETS[0])
    found = list(TweetsReader(lines=True).read(raw_file(part, 1000)))
    assert texts(found) == ["<json>", "<json>", "<no_tweet>", EXPECTED[0]]
    assert not any("secret" in item.start for item in found if isinstance(item, Rejected))


def test_what_is_no_tweet():
    lines = [
        {"delete": {"status": {"id": 1}}},
        {"limit": {"track": 3}},
        {"errors": [{"title": "Not Found"}]},
        {"data": [v2("一"), {"name": "user"}, None, 3]},
        {"meta": {"result_count": 0}},
        v2(None),
        v2(3),
        ["x"],
    ]
    raw = b"\n".join(map(dumped, lines)) + b"\nbroken"
    rejected = ["<no_tweet>"] * 3
    assert texts(read(READER, raw)) == [
        *rejected,
        "一",
        *rejected,
        "<no_text>",
        "<text_is_no_string>",
        "<no_tweet>",
        "<json>",
    ]


def test_half_a_surrogate_pair_costs_one_tweet_of_a_response():
    raw = json.dumps({"data": [v2("一"), v2("\ud83d"), v2("二")]}).encode()
    found = read(READER, raw)
    assert texts(found) == ["一", "<lone_surrogate>", "二"]
    assert found[1].start.isascii()


@pytest.mark.parametrize("head", [b"", b"window.YTD.tweets.part0 = "])
def test_a_damaged_tweet_of_an_array_costs_little(head):
    items = [dumped(tweet, indent=1) for tweet in TWEETS]
    items[1] = items[1].replace(b'"id": "1"', b'"id": "1')
    items[3] = items[3].replace(b'"id"', b"id")
    items.insert(2, b"null")
    raw = head + b"[" + b",\n".join(items) + b"]"
    found = read(READER, raw)
    assert texts(found) == [EXPECTED[0], "<json>", "<no_object>", EXPECTED[2], "<json>", EXPECTED[4]]
    assert [raw[item.position :][:4] for item in found if isinstance(item, Rejected)] == [b'{\n "', b"null", b"{\n i"]


def test_an_entry_of_an_archive_that_lost_a_brace_ends_where_the_next_begins():
    items = [dumped(item, indent=2) for item in WRAPPED]
    items[1] = items[1].replace(b'"entities": {}', b'"entities": {')
    items[3] = items[3].replace(b"}", b"}}")
    found = read(READER, b"window.YTD.tweets.part0 = [ " + b", ".join(items) + b" ]")
    assert texts(found) == [EXPECTED[0], "<json>", EXPECTED[2], EXPECTED[3], "<no_object>", EXPECTED[4]]


def test_an_array_that_ends_too_early_keeps_what_came_before():
    raw = dumped(TWEETS, indent=1)
    found = read(READER, raw[: len(raw) - 40])
    assert texts(found) == [*EXPECTED[:4], "<json>"]


def test_a_large_array_is_streamed():
    piece = dumped(v2("雨" * 50, padding="x" * 900), indent=2) + b",\n"
    raw = b"window.YTD.tweets.part0 = [" + piece * 8_000 + b'{"id": "' + b"9" * 9_000_000 + b'"}]'
    reader = TweetsReader(max_document_bytes=1 << 20)
    counts = Counter()
    tracemalloc.start()
    try:
        for record in reader.read(raw_file(raw)):
            counts[type(record)] += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counts == {Document: 8_000, Rejected: 1}
    assert peak < 8_000_000 < 18_000_000 < len(raw)


@given(
    st.lists(st.dictionaries(st.text(alphabet='"\\{}[]雨\n\x00', max_size=4), st.text(alphabet='"\\{}a雨\n\x00'))),
    st.sampled_from([None, 0, 2]),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_objects_do_not_depend_on_how_the_file_is_read(values, indent, sizes):
    raw = dumped(values, indent=indent)
    pieces, place = [], 0
    while place < len(raw):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(raw[place : place + size])
        place += size
    found = list(Objects(1 << 20).find(pieces, 100))
    assert [json.loads(data) for _, data, problem in found if not problem] == values
    assert len(found) == len(values)
    assert all(raw[position - 100 :].startswith(data) for position, data, _ in found)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\\n a1').map(str.encode))
def test_no_bytes_stop_the_reader_and_none_are_lost(raw):
    for head in (b"", b"[", b"window.YTD.tweets.part0 = ["):
        found = read(READER, head + raw)
        if raw.removeprefix(b"\xef\xbb\xbf").translate(None, b"[],; \t\r\n\f\v"):
            assert found


def test_lines_may_be_divided_if_it_is_said():
    assert (READER.cut_at, TweetsReader(lines=True).cut_at) == (None, "line")
    assert TweetsReader(lines=True, group="author_day").cut_at is None
    raw = b"\n".join(map(dumped, TWEETS))
    assert read(TweetsReader(lines=True), raw) == read(READER, raw)
    (rejected,) = read(TweetsReader(lines=True), b"{secret")
    assert (rejected.reason, rejected.start) == ("json", repr(b""))


def stream():
    return [
        v2("夜の散歩", 30, author_id="1", created_at="2021-05-01T20:00:00.000Z"),
        v2("朝の雨", 10, author_id="1", created_at="2021-05-01T06:00:00.000Z"),
        v2("別の人", 20, author_id="2", created_at="2021-05-01T06:00:00.000Z"),
        v2("返事", 31, author_id="1", created_at="2021-05-01T21:00:00.000Z", in_reply_to_user_id="2"),
        v2("翌日 #雪", 40, author_id="1", created_at="2021-05-02T06:00:00.000Z"),
        v2("時刻なし", 50, author_id="1"),
    ]


def test_tweets_of_an_author_and_day_are_joined_in_the_order_of_time():
    raw = b"\n".join(map(dumped, stream()))
    found = read(TweetsReader(group="author_day"), raw)
    assert texts(found) == ["返事", "時刻なし", "朝の雨\n夜の散歩", "別の人", "翌日 #雪"]
    joined = found[2]
    assert joined.id == "web/file.txt#0"
    assert joined.meta == {
        "id": "10",
        "author": "1",
        "created_at": "2021-05-01T06:00:00.000Z",
        "tweets": 2,
    }


def test_a_conversation_keeps_its_replies():
    raw = b"\n".join(
        dumped(record)
        for record in [
            v2("@b 答え", 2, conversation_id="1", in_reply_to_user_id="9", entities={
                "mentions": [{"username": "b", "start": 0, "end": 2}]}),
            v2("問い", 1, conversation_id="1"),
            v2("写真", 3, conversation_id="1", attachments={"media_keys": ["1"]}),
        ]
    )  # fmt: skip
    reader = TweetsReader(group="conversation", alone=("retweet", "quote", "url", "hashtag", "media"))
    found = read(reader, raw)
    assert texts(found) == ["写真", "問い\n@b 答え"]
    assert marked(found[1], "mentions") == ["@b"]
    assert "kinds" not in found[1].meta
    assert "reply out" in TweetsReader(group="conversation").problems()[0]


def test_groups_end_before_they_are_too_long_and_the_number_held_is_bounded(monkeypatch):
    same = [v2("あ" * 10, number, author_id="1", created_at="2021-05-01") for number in range(10)]
    reader = TweetsReader(group="author_day", max_document_bytes=400)  # 100 characters
    found = read(reader, b"\n".join(map(dumped, same)))
    assert [document.meta.get("tweets", 1) for document in found] == [9, 1]
    monkeypatch.setattr("preprocessing.readers._tweet_groups._HELD_TWEETS", 4)
    many = [v2("あ", number, author_id=str(number % 3), created_at="2021-05-01") for number in range(9)]
    found = read(TweetsReader(group="author_day"), b"\n".join(map(dumped, many)))
    assert sum(document.meta.get("tweets", 1) for document in found) == 9
    assert [document.meta["author"] for document in found[:2]] == ["0", "1"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans()), max_size=12))
def test_no_tweet_is_lost_in_groups(items):
    records = [
        v2(f"つぶやき{number}", number, author_id=str(author), created_at=f"2021-05-0{day}T00:00:00Z",
           in_reply_to_user_id="1" if reply else None)
        for number, (author, day, reply) in enumerate(items)
    ]  # fmt: skip
    found = read(TweetsReader(group="author_day"), b"\n".join(map(dumped, records)))
    assert sorted(line for text in texts(found) for line in text.split("\n")) == sorted(
        item["text"] for item in records
    )


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
