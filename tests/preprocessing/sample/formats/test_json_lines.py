"""JSON Lines, read with the standard library alone."""

import gzip
import json
import lzma
from datetime import datetime
from urllib.parse import urlsplit

import pytest
import zstandard


def unpacked(path):
    data = path.read_bytes()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(data).read()
    return {".gz": gzip.decompress, ".xz": lzma.decompress}.get(path.suffix, bytes)(data)


@pytest.mark.parametrize("file", ["web-00.jsonl", "web-01.jsonl.gz", "web-02.jsonl.zst", "web-03.jsonl.xz"])
def test_lines_agree_with_the_key(corpus, answers, file):
    expected = [answer for answer in answers if answer["file"] == f"jsonl/{file}"]
    lines = unpacked(corpus / "jsonl" / file).split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(expected) > 10
    for answer, line in zip(expected, lines, strict=True):
        if "bad_record" in {defect["type"] for defect in answer["defects"]}:
            continue
        record = json.loads(line)
        assert record.keys() == {"text", "id", "timestamp", "url"}
        assert (record["id"], record["url"]) == (answer["id"], answer["url"])
        assert urlsplit(record["url"]).hostname.split(".")[-1] in ("example", "jp", "com", "net", "org")
        assert datetime.fromisoformat(record["timestamp"]).utcoffset().total_seconds() == 0
        if not answer["defects"]:
            assert record["text"] == answer["clean"]


def test_all_kinds_of_bad_records_occur(answers):
    reasons = {answer["reason"] for answer in answers for defect in answer["defects"] if defect["type"] == "bad_record"}
    assert reasons == {"json", "lone_surrogate", "no_text", "text_is_no_string", "no_object"}
