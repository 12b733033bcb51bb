import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import raw_file, read, texts
from tweets import READER, dumped, v1, v2

from preprocessing.document import Document, Rejected
from preprocessing.readers._json_objects import Objects
from preprocessing.readers.tweets import TweetsReader

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
