import errno
import io
import json
import random
from hashlib import blake2b
from pathlib import Path

import pytest
import zstandard
from raw import COMPRESS, cleaned, config

from jp_llm.runtime.errors import UserError
from preprocessing.plan import Large
from preprocessing.run import run
from preprocessing.split import split_file

LINES = {"reader": {"type": "text", "document": "line"}}
PARAGRAPHS = {"reader": {"type": "text", "document": "blank_line"}}


def texts(count=400, seed=0):
    rng = random.Random(seed)
    return ["".join(chr(rng.randint(0x4E00, 0x9FFF)) for _ in range(rng.randint(5, 60))) for _ in range(count)]


def split(tmp_path, data, unit_bytes, **changes):
    path = tmp_path / "large.xz"
    path.write_bytes(data)
    wanted = config(tmp_path / "out", [path], unit_bytes=unit_bytes, **changes)
    result = split_file(wanted, Large("web", 0, str(path), "large.xz", len(data)))
    chunks = [(tmp_path / "out" / chunk["file"]).read_bytes() for chunk in result["chunks"]]
    return result, [zstandard.ZstdDecompressor().stream_reader(chunk).read() for chunk in chunks]


@pytest.mark.parametrize(("settings", "separator"), [(LINES, "\n"), (PARAGRAPHS, "\n\n")])
@pytest.mark.parametrize("unit_bytes", [1, 500, 3000, 1 << 20])
def test_chunks_are_the_content_and_end_with_records(tmp_path, settings, separator, unit_bytes):
    content = separator.join(texts()).encode()
    packed = COMPRESS["xz"](content)
    result, chunks = split(tmp_path, packed, unit_bytes, **settings)
    assert b"".join(chunks) == content
    assert all(chunk.endswith(separator.encode()) for chunk in chunks[:-1])
    assert all(chunks)
    starts = [sum(map(len, chunks[:number])) for number in range(len(chunks))]
    assert [chunk["start"] for chunk in result["chunks"]] == starts
    assert [chunk["size"] for chunk in result["chunks"]] == [len(chunk) for chunk in chunks]
    longest = max(map(len, content.split(separator.encode()))) + len(separator)
    assert all(len(chunk) <= unit_bytes + longest for chunk in chunks)
    assert result["damage"] is None
    assert result["blake2b"] == blake2b(packed, digest_size=16).hexdigest()


@pytest.mark.parametrize("settings", [LINES, PARAGRAPHS])
def test_a_file_that_is_split_gives_the_same_documents(tmp_path, settings):
    content = "\n\n".join(texts()).encode()
    (tmp_path / "a.xz").write_bytes(COMPRESS["xz"](content))
    run(config(tmp_path / "whole", [tmp_path / "a.xz"], unit_bytes=4000, **settings))
    run(config(tmp_path / "split", [tmp_path / "a.xz"], unit_bytes=4000, split_above_bytes=100, **settings))
    assert len(list((tmp_path / "split" / "documents" / "web").iterdir())) > 5
    assert cleaned(tmp_path / "split") == cleaned(tmp_path / "whole")
    assert not (tmp_path / "split" / "split").exists()


def test_damage_stops_the_run_or_is_counted_behind_what_was_read(tmp_path):
    lines = texts(3000)
    (tmp_path / "a.gz").write_bytes(COMPRESS["gzip"]("\n".join(lines).encode())[:-2000])
    wanted = config(tmp_path / "out", [tmp_path / "a.gz"], unit_bytes=20_000, split_above_bytes=100)
    with pytest.raises(UserError, match=r"split web-00000: .*a\.gz: the gzip stream is cut off .*on_damaged_file=skip"):
        run(wanted)
    run(wanted.model_copy(update={"on_damaged_file": "skip"}))
    found = [record["text"] for record in cleaned(tmp_path / "out")]
    assert 2000 < len(found) < 3000
    # The last line may have been cut.
    assert found[:-1] == lines[: len(found) - 1]
    (rejects,) = (tmp_path / "out" / "rejects").iterdir()
    assert rejects.read_text().count("damaged_file") == 1
    assert "the gzip stream is cut off" in rejects.read_text()


def test_a_chunk_that_is_lost_is_made_anew(tmp_path, monkeypatch):
    (tmp_path / "a.xz").write_bytes(COMPRESS["xz"]("\n".join(texts()).encode()))
    wanted = config(tmp_path / "out", [tmp_path / "a.xz"], unit_bytes=4000, split_above_bytes=100)
    stopped = iter(range(4))

    def stop(*arguments):
        if next(stopped, None) is None:
            raise KeyboardInterrupt
        return clean_unit(*arguments)

    from preprocessing.clean import clean_unit

    monkeypatch.setattr("preprocessing.run.clean_unit", stop)
    with pytest.raises(KeyboardInterrupt):
        run(wanted)
    monkeypatch.undo()
    chunks = sorted((tmp_path / "out" / "split" / "web").iterdir())
    assert chunks[0].name == "00000-00004.zst"  # those before are used, and gone
    chunks[1].unlink()
    run(wanted)
    assert [record["text"] for record in cleaned(tmp_path / "out")] == texts()
    assert not list((tmp_path / "out").rglob("*.zst.tmp"))
    assert not (tmp_path / "out" / "split").exists()


def test_an_empty_file_has_no_chunks(tmp_path):
    result, chunks = split(tmp_path, COMPRESS["xz"](b""), 100)
    assert (result["chunks"], chunks) == ([], [])
    assert not list(Path(tmp_path / "out").rglob("*.zst"))


@pytest.mark.parametrize("damage", ["bytes", "disk", "gone"])
def test_a_file_damaged_before_its_first_record_is_counted(tmp_path, monkeypatch, damage):
    lines = texts()
    (tmp_path / "a.txt").write_text("\n".join(lines))
    packed = bytearray(COMPRESS["gzip"]("\n".join(texts(seed=1)).encode()))
    if damage == "bytes":
        packed[10:60] = bytes(255 - byte for byte in packed[10:60])
    (tmp_path / "b.gz").write_bytes(packed)
    (tmp_path / "c.gz").write_bytes(COMPRESS["gzip"]("\n".join(lines).encode()))
    wanted = config(
        tmp_path / "out",
        [tmp_path / name for name in ("a.txt", "b.gz", "c.gz")],
        unit_bytes=4000,
        split_above_bytes=100,
    )
    if damage == "disk":
        original = io.FileIO

        def opened(path):
            return FailingDisk(path) if path.endswith("b.gz") else original(path)

        monkeypatch.setattr("preprocessing.split.io.FileIO", opened)
    if damage == "gone":
        monkeypatch.setattr("preprocessing.run.check_disk", lambda *arguments: (tmp_path / "b.gz").unlink())
    with pytest.raises(UserError, match=r"split web-00000: .*b\.gz: .*on_damaged_file=skip"):
        run(wanted)
    if damage == "gone":
        (tmp_path / "b.gz").write_bytes(packed)
    run(wanted.model_copy(update={"on_damaged_file": "skip"}))
    assert [record["text"] for record in cleaned(tmp_path / "out")] == lines + lines
    counts = json.loads((tmp_path / "out" / "report.json").read_text())["sources"]["web"]
    assert counts["rejected"] == {"damaged_file": 1}
    (rejects,) = (tmp_path / "out" / "rejects").iterdir()
    assert "b.gz" in rejects.read_text()
    before = (tmp_path / "out" / "report.json").read_text()
    run(wanted)
    assert (tmp_path / "out" / "report.json").read_text() == before


class FailingDisk(io.FileIO):
    def read(self, size=-1):
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_fails_later_keeps_what_stood_before(tmp_path, monkeypatch):
    class FailsLater(io.FileIO):
        def read(self, size=-1):
            if self.tell() > 150_000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(min(size, 8192))

    monkeypatch.setattr("preprocessing.split.io.FileIO", FailsLater)
    lines = texts(3000)
    (tmp_path / "a.gz").write_bytes(COMPRESS["gzip"]("\n".join(lines).encode()))
    changes = {"unit_bytes": 20_000, "split_above_bytes": 100, "on_damaged_file": "skip"}
    run(config(tmp_path / "out", [tmp_path / "a.gz"], **changes))
    found = [record["text"] for record in cleaned(tmp_path / "out")]
    assert 10 < len(found) < 3000
    assert found[:-1] == lines[: len(found) - 1]
    (rejects,) = (tmp_path / "out" / "rejects").iterdir()
    assert rejects.read_text().count("Input/output error") == 1


def test_a_full_disk_is_not_taken_for_a_damaged_input(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("preprocessing.lazy_file.LazyFile.write", full)
    with pytest.raises(OSError, match="No space left"):
        split(tmp_path, COMPRESS["xz"](b"text\n" * 100), 100, on_damaged_file="skip")
