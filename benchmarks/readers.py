"""What do the readers cost beside the bare decoding of their format?

    python benchmarks/readers.py

Generated files of each format, 20 MB or so, in memory. The unit is 10^6 bytes per second of processor time, of the file
and of the text in it (best of three). The peer is the least that any reader does: `orjson.loads` of every line,
`json.loads` of the array of an archive, `split` of plain text, `to_pylist` of a Parquet column.
"""

import io
import json
import time
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
from _report import report
from pyarrow import parquet

from preprocessing.raw_file import RawFile
from preprocessing.readers.cc100 import Cc100Reader
from preprocessing.readers.mc4 import Mc4Reader
from preprocessing.readers.oscar import OscarReader
from preprocessing.readers.parquet import ParquetReader
from preprocessing.readers.tweets import TweetsReader
from preprocessing.step import Reader

LINE = "朝から降っていた雨が昼すぎに止んだので、傘を持たずに駅の向こうの図書館まで歩いて行った。" * 2
PAGE = "\n".join([LINE] * 12)
TWEET = "@taro 朝から雨が降っていたので、傘を差して駅まで歩きました。&amp; 寒い #雨"


def lines(record: dict[str, Any], count: int) -> bytes:
    """JSONL of one record over and over."""
    return (json.dumps(record, ensure_ascii=False) + "\n").encode() * count


def archive_tweet() -> dict[str, Any]:
    """A tweet as archives have it."""
    tag = TWEET.index("#")
    return {
        "edit_info": {"initial": {"editTweetIds": ["1234567890"], "editsRemaining": "5", "isEditEligible": True}},
        "retweeted": False,
        "source": '<a href="http://twitter.com/download/iphone" rel="nofollow">Twitter for iPhone</a>',
        "entities": {
            "hashtags": [{"text": "雨", "indices": [str(tag), str(tag + 2)]}],
            "user_mentions": [{"name": "太郎", "screen_name": "taro", "indices": ["0", "5"], "id_str": "1"}],
            "urls": [],
        },
        "display_text_range": ["0", str(len(TWEET))],
        "id_str": "1234567890",
        "created_at": "Sat Dec 06 18:20:30 +0000 2025",
        "full_text": TWEET,
        "lang": "ja",
    }


def cases() -> list[tuple[str, Reader, bytes, Callable[[bytes], Any]]]:
    """Name, reader, file and peer."""

    def loads(data: bytes) -> None:
        for line in data.split(b"\n"):
            if line:
                orjson.loads(line)

    oscar = {
        "content": PAGE,
        "warc_headers": {"warc-target-uri": "https://example.jp/", "warc-date": "2022-11-27T12:56:25Z"},
        "metadata": {
            "identification": {"label": "ja", "prob": 0.99},
            "sentence_identifications": [{"label": "ja", "prob": 0.99}] * 12,
            "quality_warnings": ["tiny"],
        },
    }
    mc4 = {"text": PAGE, "timestamp": "2019-04-25T12:57:54Z", "url": "https://example.jp/"}
    rows = b"".join(lines({"id": "1", "text": text + "\n"}, 1) for text in ([LINE] * 12 + [""]) * 6000)
    v2 = {"id": "1", "text": TWEET, "author_id": "1", "created_at": "2021-05-01T06:00:00.000Z", "lang": "ja"}
    archive = json.dumps([{"tweet": archive_tweet()}] * 15_000, ensure_ascii=False, indent=2).encode()
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"text": [f"{number}{PAGE}" for number in range(6000)]}), buffer, compression="zstd")
    return [
        ("cc100", Cc100Reader(), "\n\n".join([PAGE] * 6000).encode(), lambda data: data.decode().split("\n\n")),
        ("cc100, rows", Cc100Reader(rows=True), rows, loads),
        ("mc4", Mc4Reader(), lines(mc4, 6000), loads),
        ("oscar", OscarReader(), lines(oscar, 6000), loads),
        ("tweets, API v2", TweetsReader(), lines({"data": [v2] * 100}, 500), loads),
        ("tweets, API v1.1", TweetsReader(), lines(archive_tweet(), 15_000), loads),
        (
            "tweets, archive",
            TweetsReader(),
            b"window.YTD.tweets.part0 = " + archive,
            lambda data: json.loads(data[26:]),
        ),
        (
            "parquet",
            ParquetReader(),
            buffer.getvalue(),
            lambda data: parquet.read_table(io.BytesIO(data), use_threads=False)["text"].to_pylist(),
        ),
    ]


def seconds(work: Callable[[], Any]) -> float:
    """Processor time, best of three."""
    found = []
    for _ in range(3):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def measured(name: str, reader: Reader, data: bytes, peer: Callable[[bytes], Any]) -> dict[str, Any]:
    """One row of the table."""

    def documents() -> Any:
        stream = io.BufferedReader(io.BytesIO(data), 1 << 20)  # type: ignore[arg-type]
        return reader.read(RawFile("web", "file", None, "file", stream))

    texts = [document.text for document in documents()]
    size = sum(len(text.encode()) for text in texts) / 1e6
    mine = seconds(lambda: [None for _ in documents()])
    theirs = seconds(lambda: peer(data))
    return {
        "reader": name,
        "documents": len(texts),
        "documents/s": len(texts) / mine,
        "file MB/s": len(data) / 1e6 / mine,
        "text MB/s": size / mine,
        "time / bare decoding": mine / theirs,
    }


if __name__ == "__main__":
    report("Readers, alone, on one core", [measured(*case) for case in cases()])
