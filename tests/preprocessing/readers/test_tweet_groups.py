from hypothesis import given
from hypothesis import strategies as st
from raw import read, texts
from tweets import dumped, marked, v2

from preprocessing.readers.tweets import TweetsReader


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
