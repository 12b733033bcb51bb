import pytest
from hypothesis import given
from hypothesis import strategies as st
from tweets import kinds, marked, one, v1, v2


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
