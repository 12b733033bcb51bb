import json
import tarfile

import pytest
from raw import COMPRESS, cleaned, config, tar

from jp_llm.runtime.errors import UserError
from preprocessing.clean import clean_unit
from preprocessing.plan import Planner, find_files

LINES = [f"{number}番目の文書です。" for number in range(300)]


def clean(wanted):
    """Clean every unit of the source; the counts."""
    source = wanted.sources["web"]
    files = find_files(source.paths, source.files, 200.0)
    skip = wanted.on_damaged_file == "skip"
    planner = Planner("web", wanted.unit_bytes, source.build_reader().cut_at, source.files, 200.0, skip)
    return [clean_unit(wanted, unit)["counts"] for unit in planner.units(files)]


def rejects(output):
    lines = [line for path in sorted((output / "rejects").glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def total(counts, key):
    return sum(unit[key] for unit in counts)


@pytest.mark.parametrize("unit_bytes", [1 << 20, 1000, 100])
def test_ids_and_texts_do_not_depend_on_the_units(tmp_path, unit_bytes):
    (tmp_path / "a.txt").write_text("\n".join(LINES))
    counts = clean(config(tmp_path / "out", [tmp_path / "a.txt"], unit_bytes=unit_bytes))
    found = cleaned(tmp_path / "out")
    positions = [len("\n".join([*LINES[:number], ""]).encode()) for number in range(300)]
    assert [record["text"] for record in found] == LINES
    assert [record["id"] for record in found] == [f"web/a.txt#{position}" for position in positions]
    assert total(counts, "documents_in") == 300
    assert total(counts, "characters") == sum(map(len, LINES))
    assert total(counts, "bytes") == sum(len(line.encode()) for line in LINES)


@pytest.mark.parametrize("compression", [None, *COMPRESS])
@pytest.mark.parametrize("unit_bytes", [1 << 20, 500])
def test_members_of_archives_in_any_compression(tmp_path, compression, unit_bytes):
    pack = COMPRESS[compression] if compression else bytes
    inner = {f"works/{number}.txt": f"{number}番目".encode() * 20 for number in range(20)}
    inner["works/packed.txt"] = COMPRESS["gzip"]("圧縮された".encode())
    inner["README.md"] = b"not a work"
    (tmp_path / "works").write_bytes(pack(tar(inner)))
    reader = {"type": "text", "document": "file"}
    counts = clean(
        config(tmp_path / "out", [tmp_path / "works"], reader=reader, files=["*.txt"], unit_bytes=unit_bytes)
    )
    found = cleaned(tmp_path / "out")
    assert [record["text"] for record in found] == [f"{number}番目" * 20 for number in range(20)] + ["圧縮された"]
    assert found[3]["id"] == "web/works/works/3.txt#0"
    assert total(counts, "skipped_members") == 1
    assert (len(counts) == 1) == (unit_bytes > 1000)


def test_hostile_members_are_counted_and_nothing_is_written_elsewhere(tmp_path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members = [(tarfile.TarInfo("../../escaped.txt"), b"evil"), (link, b""), (tarfile.TarInfo("good.txt"), b"text")]
    (tmp_path / "a.tar").write_bytes(tar(members))
    (counts,) = clean(config(tmp_path / "deep" / "er" / "out", [tmp_path / "a.tar"]))
    assert counts["rejected"] == {"archive_link": 1, "archive_unsafe_name": 1}
    assert [record["text"] for record in cleaned(tmp_path / "deep" / "er" / "out")] == ["text"]
    assert [record["member"] for record in rejects(tmp_path / "deep" / "er" / "out")] == ["../../escaped.txt", "link"]
    assert not list(tmp_path.rglob("escaped.txt"))


def test_what_cannot_be_read_is_kept_among_the_rejects(tmp_path):
    (tmp_path / "a.txt").write_bytes("一行目\n".encode() + "二行目\n".encode("cp932") + "三行目\n".encode())
    (counts,) = clean(config(tmp_path / "out", [tmp_path / "a.txt"]))
    assert counts["rejected"] == {"encoding": 1}
    assert rejects(tmp_path / "out") == [
        {
            "file": str(tmp_path / "a.txt"),
            "member": None,
            "position": 10,
            "reason": "encoding",
            "start": repr("二行目".encode("cp932")),
        }
    ]


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_cut_file_stops_the_run_or_is_counted(tmp_path, compression):
    packed = COMPRESS[compression]("\n".join(LINES * 100).encode())
    (tmp_path / "a.txt").write_bytes(packed[: len(packed) * 2 // 3])
    (tmp_path / "b.txt").write_text("別の文書")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    with pytest.raises(UserError, match=f"a.txt: the {compression} stream is cut off .* on_damaged_file=skip"):
        clean(config(tmp_path / "out", paths))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    (counts,) = clean(config(tmp_path / "out", paths, on_damaged_file="skip"))
    texts = [record["text"] for record in cleaned(tmp_path / "out")]
    assert texts[-1] == "別の文書"
    assert texts[:-1] == (LINES * 100)[: len(texts) - 1]
    assert counts["rejected"] == {"damaged_file": 1}
    assert "the file; " in rejects(tmp_path / "out")[0]["start"]


@pytest.mark.parametrize("unit_bytes", [1 << 20, 1000])
def test_a_cut_archive_keeps_the_members_before_the_cut(tmp_path, unit_bytes):
    members = {f"{number}.txt": f"{number}番目の文書です。".encode() for number in range(100)}
    (tmp_path / "a.tar").write_bytes(tar(members)[:50_700])
    counts = clean(config(tmp_path / "out", [tmp_path / "a.tar"], on_damaged_file="skip", unit_bytes=unit_bytes))
    assert [record["text"] for record in cleaned(tmp_path / "out")] == [f"{n}番目の文書です。" for n in range(49)]
    assert sum(unit["rejected"].get("damaged_file", 0) for unit in counts) == 1
    assert rejects(tmp_path / "out")[-1]["file"].endswith("a.tar")


def test_a_damaged_member_does_not_cost_the_others(tmp_path):
    packed = COMPRESS["zstd"]("\n".join(LINES).encode())
    (tmp_path / "a.tar").write_bytes(tar({"1.txt": "一".encode(), "2.txt": packed[:-20], "3.txt": "三".encode()}))
    (counts,) = clean(config(tmp_path / "out", [tmp_path / "a.tar"], on_damaged_file="skip"))
    texts = [record["text"] for record in cleaned(tmp_path / "out")]
    assert (texts[0], texts[-1]) == ("一", "三")
    assert counts["rejected"] == {"damaged_file": 1}


def test_a_file_that_vanished_or_may_not_be_read_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("一")
    wanted = config(tmp_path / "out", [tmp_path / "a.txt"])
    (unit,) = Planner("web", 100, "line", (), 200.0, False).units(find_files([str(tmp_path / "a.txt")], (), 200.0))
    (tmp_path / "a.txt").unlink()
    with pytest.raises(UserError, match=r"a\.txt: No such file or directory.* on_damaged_file=skip"):
        clean_unit(wanted, unit)


def test_a_full_disk_is_not_taken_for_a_damaged_input(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("preprocessing.documents.DocumentWriter.write", full)
    (tmp_path / "a.txt").write_text("一")
    with pytest.raises(OSError, match="No space left on device"):
        clean(config(tmp_path / "out", [tmp_path / "a.txt"], on_damaged_file="skip"))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_what_an_earlier_attempt_left_is_removed(tmp_path):
    (tmp_path / "a.txt").write_text("一")
    stale = [
        "documents/web/train-00000-000.jsonl.zst",
        "documents/web/train-00000-007.jsonl.zst",
        "samples/web-00000.json.zst",
        "rejects/web-00000.jsonl",
    ]
    others = ["documents/web/train-00001-000.jsonl.zst", "rejects/web2-00000.jsonl", "rejects/my-web-00000.jsonl"]
    for name in stale + others:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    clean(config(tmp_path / "out", [tmp_path / "a.txt"]))
    left = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {*others, "documents/web/train-00000-000.jsonl.zst"}
