"""Everything that is wrong with real input, at once and through the door: named, counted, nothing else lost."""

import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

import orjson
import pytest
from raw import cleaned

ROOT = Path(__file__).resolve().parents[2]
GIGABYTE = 1 << 30
GOOD = "これは良い文書です。何も失われてはいけません。"


def good(name: str) -> bytes:
    return json.dumps({"text": GOOD + name}, ensure_ascii=False).encode() + b"\n"


def hostile_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (("../../outside.jsonl", good("outside")), ("inside.jsonl", good("archive"))):
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        link = tarfile.TarInfo("link.jsonl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The output folder of a run over bad input."""
    folder = tmp_path_factory.mktemp("bad")
    raw = folder / "raw"
    raw.mkdir()
    (raw / "a-good.jsonl").write_bytes(good("a"))
    with (raw / "b-endless.jsonl").open("wb") as file:
        file.write(good("before") + b'{"text": "')
        for _ in range(200):
            file.write("長".encode() * 333_333)
        file.write(b'"}\n' + good("after"))
    (raw / "c-bomb.jsonl.gz").write_bytes(gzip.compress(b"\0" * (300 << 20), 9, mtime=0))
    whole = lzma.compress(b"".join(good(f"cut {number}") for number in range(20_000)))
    (raw / "d-cut.jsonl.xz").write_bytes(whole[: len(whole) // 2])
    bad = [b"{", b'{"text": "\\ud83d"}', b'{"text": 1}', b"[1]", "{'text': '日本'}".encode("cp932"), b"{" * 100_000]
    (raw / "e-lines.jsonl").write_bytes(b"".join(line + b"\n" for line in bad) + good("e"))
    (raw / "f-archive.tar").write_bytes(hostile_archive())
    for number in range(1000):
        (raw / f"g-{number:04}.jsonl").write_bytes(good(str(number)))
    # Opening it works and reading it fails, for every user.
    (raw / "g-0500.jsonl").unlink()
    (raw / "g-0500.jsonl").symlink_to("/proc/self/mem")
    corpus = {
        "name": "bad",
        "output_dir": str(folder / "out"),
        "sources": {"web": {"reader": {"type": "jsonl"}, "paths": [str(raw)], "steps": []}},
        "stages": ["clean"],
        "num_workers": 2,
        "validation_fraction": 0.0,
        "on_damaged_file": "skip",
    }
    words = [f"{key}={json.dumps(value)}" for key, value in corpus.items()]
    command = [sys.executable, "launch/preprocess.py", "corpus=custom", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_no_good_document_is_lost(finished):
    texts = {record["text"].removeprefix(GOOD) for record in cleaned(finished)}
    expected = {"a", "before", "after", "e", "archive"} | {str(number) for number in range(1000) if number != 500}
    assert expected <= texts
    assert "cut 0" in texts  # what stood before the damage
    assert texts - expected == {f"cut {number}" for number in range(len(texts - expected))}


def test_everything_bad_is_named_and_counted(finished):
    folder = finished
    records = [
        orjson.loads(line) for path in sorted((folder / "rejects").iterdir()) for line in path.read_bytes().splitlines()
    ]
    found = sorted((Path(record["file"]).name, record["reason"]) for record in records)
    assert found == [
        ("b-endless.jsonl", "too_large"),
        ("c-bomb.jsonl.gz", "damaged_file"),
        ("d-cut.jsonl.xz", "damaged_file"),
        ("e-lines.jsonl", "encoding"),
        ("e-lines.jsonl", "json"),
        ("e-lines.jsonl", "json"),
        ("e-lines.jsonl", "lone_surrogate"),
        ("e-lines.jsonl", "no_object"),
        ("e-lines.jsonl", "text_is_no_string"),
        ("f-archive.tar", "archive_link"),
        ("f-archive.tar", "archive_unsafe_name"),
        ("g-0500.jsonl", "damaged_file"),
    ]
    assert not (folder.parent / "outside.jsonl").exists()


def test_memory_stays_bounded(finished):
    peaks = [orjson.loads(mark.read_bytes())["peak_memory_bytes"] for mark in (finished / "marks" / "clean").iterdir()]
    assert max(peaks) < GIGABYTE
