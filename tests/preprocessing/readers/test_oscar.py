import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import read, texts

from preprocessing.readers.oscar import OscarReader

READER = OscarReader()
HEADERS = {
    "warc-target-uri": "https://example.jp/a",
    "warc-date": "2022-11-27T12:56:25Z",
    "warc-record-id": "<urn:uuid:1>",
    "content-length": "1086",
    "warc-block-digest": "sha1:AAAA",
}
BASE = {"url": "https://example.jp/a", "date": "2022-11-27T12:56:25Z", "record_id": "<urn:uuid:1>"}
LABELLED = BASE | {"language": "ja", "language_probability": 0.99}
IDENTIFICATION = {"label": "ja", "prob": 0.99}


def line(record):
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    ("record", "meta"),
    [
        (  # 22.01
            {
                "content": "一\n二",
                "warc_headers": HEADERS,
                "metadata": {
                    "identification": IDENTIFICATION,
                    "annotation": ["short_sentences", "header"],
                    "sentence_identifications": [{"label": "ja", "prob": 0.9}, None],
                },
            },
            LABELLED | {"quality_warnings": ["short_sentences", "header"]},
        ),
        (  # as its documents spell it, and nothing annotated
            {"content": "一\n二", "warc_headers": HEADERS, "metadata": {"annotations": None, "identification": None}},
            BASE,
        ),
        (  # 23.01
            {
                "content": "一\n二",
                "warc_headers": HEADERS,
                "metadata": {
                    "identification": IDENTIFICATION,
                    "harmful_pp": 4063.1,
                    "tlsh": "tlsh:T1",
                    "quality_warnings": ["tiny"],
                    "categories": ["blog", None],
                    "sentence_identifications": None,
                },
            },
            LABELLED | {"quality_warnings": ["tiny"], "harmful_pp": 4063.1, "categories": ["blog"]},
        ),
        (  # nested copies
            {
                "id": 7,
                "text": "一\n二",
                "meta": {
                    "warc_headers": HEADERS,
                    "identification": IDENTIFICATION,
                    "harmful_pp": None,
                    "quality_warnings": None,
                    "categories": ["adult"],
                },
            },
            LABELLED | {"categories": ["adult"]},
        ),
        (
            {
                "text": "一\n二",
                "meta": {
                    "warc_headers": {"warc_target_uri": "https://example.jp/b"},
                    "metadata": {"annotation": ["noisy"], "categories": []},
                },
            },
            {"url": "https://example.jp/b", "quality_warnings": ["noisy"]},
        ),
        ({"content": "一\n二", "metadata": [], "warc_headers": None, "meta": 3, "categories": "blog"}, {}),
    ],
)
def test_all_spellings(record, meta):
    (document,) = read(READER, line(record))
    assert (document.text, document.meta) == ("一\n二", meta)


def test_a_bad_line_costs_only_itself():
    raw = (
        line({"content": "一"}) + b"{\n" + line({"metadata": {}}) + line({"content": ["二"]}) + line({"content": "三"})
    )
    assert texts(read(READER, raw)) == ["一", "<json>", "<no_text>", "<text_is_no_string>", "三"]
    assert READER.cut_at == "line"


KEYS = st.sampled_from(["identification", "categories", "warc_headers", "annotation", "metadata"])
VALUES = st.recursive(
    st.none() | st.text() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
)


@given(st.dictionaries(st.sampled_from(["content", "text", "meta", "metadata", "warc_headers"]), VALUES))
def test_no_record_of_any_shape_is_lost(record):
    assert len(read(READER, line(record))) == 1
