import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import read, texts

from preprocessing.readers.jsonl import JsonLinesReader

READER = JsonLinesReader()


def line(**record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def test_text_and_chosen_fields():
    raw = line(text="一", url="http://example.jp", score=0.5) + line(text="二")
    found = read(JsonLinesReader(meta_fields=("url", "lang")), raw)
    assert texts(found) == ["一", "二"]
    assert [document.meta for document in found] == [{"url": "http://example.jp"}, {}]


def test_the_text_may_have_another_name():
    assert texts(read(JsonLinesReader(text_field="content"), line(content="一", text="二"))) == ["一"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"text": "\xe4\xb8\x80"', "json"),
        (b"no json", "json"),
        (b'{"text": "a\x01b"}', "json"),
        (b"[" * 100_000, "json"),
        (b'{"text": "a", "x": ' + b"[" * 990 + b"]" * 990 + b"}", "too_deep"),
        (b'{"text": "a", "x": ' + b'[{"y": ' * 100 + b"NaN" + b"}]" * 100 + b"}", "too_deep"),
        (b'{"text": "\\ud83d"}', "lone_surrogate"),
        (b'{"text": "a", "user": "\\udc00"}', "lone_surrogate"),
        ('{"text": "一"}'.encode("cp932"), "encoding"),
        ('{"text": "一"}'.encode("utf-16"), "utf16"),
        (b'["text"]', "no_object"),
        (b'"text"', "no_object"),
        (b'{"content": "a"}', "no_text"),
        (b'{"text": null}', "no_text"),
        (b'{"text": ["a"]}', "text_is_no_string"),
    ],
)
def test_a_bad_line_costs_only_itself(raw, reason):
    if reason == "utf16":  # its newlines are no byte \n
        assert texts(read(READER, raw)) == ["<utf16>"]
    else:
        assert texts(read(READER, line(text="前") + raw + b"\n" + line(text="後"))) == ["前", f"<{reason}>", "後"]


def test_what_only_the_standard_module_takes_is_kept():
    raw = b'{"text": "a", "score": NaN, "n": 123456789012345678901234567890}\n'
    (found,) = read(JsonLinesReader(meta_fields=("n",)), raw)
    assert (found.text, found.meta) == ("a", {"n": 123456789012345678901234567890})


def test_blank_lines_and_a_byte_order_mark_are_no_records():
    assert texts(read(READER, b"\xef\xbb\xbf" + line(text="一") + b"\n \r\n" + line(text="二"))) == ["一", "二"]


def test_a_line_beyond_the_limit_is_rejected():
    raw = line(text="長" * 3_000_000) + line(text="短")
    assert texts(read(JsonLinesReader(max_document_bytes=1000), raw)) == ["<too_large>", "短"]


@given(st.lists(st.text()))
def test_every_text_comes_back(expected):
    raw = b"".join(line(text=text) for text in expected)
    # A zero byte in a text is an escape in JSON.
    assert texts(read(READER, raw)) == expected


def test_many_values_beside_each_other_are_not_deep():
    record = {"text": "a", "x": [[], {}] * 500, "y": json.loads("[" * 190 + "]" * 190)}
    (found,) = read(JsonLinesReader(meta_fields=("x", "y")), line(**record))
    assert found.meta == {"x": record["x"], "y": record["y"]}
