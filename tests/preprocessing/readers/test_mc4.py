import json

from raw import read, texts

from preprocessing.readers.mc4 import Mc4Reader


def test_text_time_and_address():
    record = {"text": "一行目\n二行目", "timestamp": "2019-04-25T12:57:54Z", "url": "https://example.jp/", "other": 1}
    raw = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    (document,) = read(Mc4Reader(), raw)
    assert document.text == "一行目\n二行目"
    assert document.meta == {"timestamp": "2019-04-25T12:57:54Z", "url": "https://example.jp/"}
    assert texts(read(Mc4Reader(max_document_bytes=10), raw + b'{"text":1}\n' + b"x")) == [
        "<too_large>",
        "<text_is_no_string>",
        "<json>",
    ]
