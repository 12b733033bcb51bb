import pytest
from raw import document

from preprocessing.filters.tweets import TweetsFilter

KINDS = ("retweet", "reply", "quote", "url", "hashtag", "media", "truncated")


def tweet(text="朝から雨が降っている。", **meta):
    found = document(text)
    found.meta.update(meta)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_dropped_unless_it_is_allowed(kind):
    assert TweetsFilter().reason(tweet(kinds=[kind])) == kind
    assert TweetsFilter(**{kind: False}).reason(tweet(kinds=[kind])) is None


def test_what_stands_for_itself_is_kept():
    assert TweetsFilter().reason(tweet()) is None
    assert TweetsFilter().reason(tweet(kinds=[], source="Twitter for iPhone", lang="ja")) is None


def test_the_link_of_a_picture_is_no_link():
    picture = tweet("朝の空 https://t.co/abc", kinds=["media"], spans={"urls": [[4, 20]]})
    assert TweetsFilter().reason(picture) == "media"
    assert TweetsFilter(media=False).reason(picture) is None


def test_the_first_reason_counts():
    assert TweetsFilter().reason(tweet(kinds=["media", "reply", "url"])) == "reply"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("RT @taro: 雨です", "retweet"),
        ("@taro 雨ですね", "reply"),
        ("＠taro 雨ですね", "reply"),
        ("今日は @taro と散歩", None),
        ("info@example.com まで", None),
        ("詳しくは https://t.co/abc", "url"),
        ("写真 pic.twitter.com/abc", "url"),
        ("at.com/ と書いた", None),
        ("雨 #梅雨", "hashtag"),
        ("雨。＃梅雨", "hashtag"),
        ("C#の話", None),
        ("背番号 #18", None),
        ("#1月の雨", "hashtag"),
        ("RTって何ですか", None),
    ],
)
def test_texts_show_what_they_are_without_meta(text, reason):
    assert TweetsFilter().reason(tweet(text)) == reason


@pytest.mark.parametrize(
    ("source", "bot"),
    [
        ("twittbot.net", True),
        ("IFTTT", True),
        ("天気予報bot", True),
        ("Weather Bot 2", True),
        ("自動投稿くん", True),
        ("Twitter for Android", False),
        ("Twitter Web App", False),
        ("Bottle Message", False),
        (None, False),
    ],
)
def test_clients_that_post_by_themselves(source, bot):
    assert TweetsFilter().reason(tweet(source=source)) == ("bot" if bot else None)
    assert TweetsFilter(bot=False).reason(tweet(source=source)) is None


def test_more_clients(tmp_path):
    listed = tmp_path / "clients.txt"
    listed.write_text("My Poster\n\n別の投稿係\n", encoding="utf-8")
    rules = TweetsFilter(bot_sources=("Some App",), bot_source_files=(str(listed),))
    assert rules.files() == (str(listed),)
    assert [rules.reason(tweet(source=name)) for name in ("some app", "my poster", "別の投稿係", "")] == ["bot"] * 3 + [
        None
    ]
    assert "No such file" in TweetsFilter(bot_source_files=("nowhere",)).problems()[0]
    listed.write_text("別の投稿係\n", encoding="cp932")
    assert "cannot be read" in TweetsFilter(bot_source_files=(str(listed),)).problems()[0]


def test_joined_tweets_may_begin_with_a_name():
    assert TweetsFilter().reason(tweet("@taro 雨\n晴れ", tweets=2)) is None
