from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.tweet_text import TweetTextMapper


def mapped(text, mapper=None, **spans):
    found = document(text)
    if spans:
        found.meta["spans"] = {kind: [list(span) for span in listed] for kind, listed in spans.items()}
    tally = Counter()
    return (mapper or TweetTextMapper()).map(found, tally), +tally


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("雨です", "雨です"),
        ("詳しくは https://t.co/abc?a=1 まで", "詳しくは まで"),
        ("これhttps://t.co/abcです", "これです"),
        ("写真 pic.twitter.com/abc", "写真"),
        ("@taro @hanako 雨ですね", "雨ですね"),
        ("今日は@taroと散歩 @hanako も", "今日は@userと散歩 @user も"),
        (".@taro 雨ですね", ".@taro 雨ですね"),  # no mention: a dot is not what may stand before one
        ("「@taro」さん", "「@user」さん"),
        ("info@example.com まで", "info@example.com まで"),
        ("@taro\n@hanako 雨", "雨"),
        ("雨 #梅雨 の朝 ＃傘", "雨 梅雨 の朝 傘"),
        ("#18 C#", "#18 C#"),
        ("", ""),
    ],
)
def test_by_pattern(text, expected):
    assert mapped(text)[0] == expected


def test_by_span_where_no_pattern_would_find_it():
    text = "雨 #100% と @a_very_long_name_of_old と https://例え.jp/道"
    urls, hashtags = [(text.index("https"), len(text))], [(2, 6)]
    mentions = [(text.index("@"), text.index("@") + len("@a_very_long_name_of_old"))]
    assert mapped(text, urls=urls, hashtags=hashtags, mentions=mentions)[0] == "雨 100% と @user と"


def test_spans_of_another_text_are_not_used():
    assert mapped("雨が降っている", urls=[(0, 3)], hashtags=[(2, 90)], mentions=[(5, 6)])[0] == "雨が降っている"


def test_overlapping_spans():
    assert mapped("雨 https://t.co/a#b です", urls=[(2, 18)], hashtags=[(16, 18)])[0] == "雨 です"


def test_choices():
    text = "@a 雨 @b #梅雨"
    assert mapped(text, TweetTextMapper(mention=""))[0] == "雨 梅雨"
    assert mapped(text, TweetTextMapper(mention="＠名前", leading_mentions=True))[0] == "＠名前 雨 ＠名前 梅雨"
    assert mapped(text, TweetTextMapper(hashtags="keep"))[0] == "雨 @user #梅雨"
    assert mapped(text, TweetTextMapper(hashtags="remove"))[0] == "雨 @user"


def test_all_is_tallied():
    text, tally = mapped("@a 雨 @b #梅雨 https://t.co/a ｗｗｗｗｗｗｗ")
    assert text == "雨 @user 梅雨 ｗｗｗｗｗｗｗ"
    assert tally == {"mentions": 2, "hashtags": 1, "urls": 1}


@given(st.text(alphabet="@＠#＃a1雨 \n:/.hｗ"), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=3))
def test_nothing_is_invented_or_moved(text, spans):
    result, tally = mapped(text, TweetTextMapper(mention=""), urls=spans, mentions=spans, hashtags=spans)
    rest = iter(text)
    assert all(character in rest for character in result)
    assert tally or result == text


def test_what_is_no_entity_stays():
    text = "雨の朝、傘を差して歩く。\n夜は晴れ。  "
    assert mapped(text) == (text, {})
