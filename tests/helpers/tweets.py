"""Tweets as the API and the archives write them, and what the reader makes of them."""

import json

from raw import read

from preprocessing.document import Document
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
