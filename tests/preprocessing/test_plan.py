import os
import shutil
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import COMPRESS, tar

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile
from preprocessing.plan import Large, Plan, Planner, fetched_units, find_files


def found(*paths, select=()):
    return find_files([str(path) for path in paths], select, 200.0)


def planner(unit_bytes, cut_at=None, select=(), skip_damaged=False):
    return Planner("web", unit_bytes, cut_at, select, 200.0, skip_damaged)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.txt", "b.jsonl", "deep/c.txt", ".hidden.txt", ".git/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_gives_all_its_files_but_hidden_ones(folder):
    assert [file.name for file in found(folder)] == ["a.txt", "b.jsonl", "deep/c.txt"]
    assert [file.name for file in found(folder, select=["*.txt"])] == ["a.txt", "deep/c.txt"]
    assert [file.name for file in found(folder, select=["deep/*"])] == ["c.txt"]


def test_patterns_and_files_give_each_file_once(folder):
    files = found(folder / "deep/c.txt", folder / "**/*.txt", folder / "a.txt")
    assert [file.name for file in files] == ["deep/c.txt", "a.txt"]


def test_all_missing_inputs_are_named_at_once(folder):
    (folder / "empty").mkdir()
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    with pytest.raises(UserError) as caught:
        found(folder / "*.parquet", folder / "nothing.txt", folder / "empty", folder / "dangling", folder / "pipe")
    problems = caught.value.problems
    assert "*.parquet: no file matches" in problems[0]
    assert "nothing.txt: no such file" in problems[1]
    assert "empty: no such file, or nothing to read in this folder" in problems[2]
    assert "dangling: no such file" in problems[3]
    assert "pipe: not a regular file" in problems[4]


def test_a_file_that_may_not_be_read_is_named(folder, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"a\.txt: Permission denied"):
        found(folder / "a.txt")


@pytest.mark.parametrize("name", [b"\x94L.txt", b"line\nfeed.txt"])
def test_a_name_that_cannot_be_recorded_is_refused(tmp_path, name):
    with open(os.fsencode(tmp_path) + b"/" + name, "w"):
        pass
    with pytest.raises(UserError, match=r"^'.*\.txt': the name is no printable UTF-8 text; rename the file$"):
        found(tmp_path)


def test_zip_archives_are_refused_with_advice(tmp_path):
    (tmp_path / "works.zip").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(UserError, match=r"works\.zip: a zip, 7z or rar archive; unpack it"):
        found(tmp_path / "works.zip")


@pytest.mark.parametrize("compression", [None, *COMPRESS])
def test_the_kind_of_a_file_is_seen_in_its_bytes_not_its_name(tmp_path, compression):
    pack = COMPRESS[compression] if compression else bytes
    (tmp_path / "one").write_bytes(pack("文書".encode() * 1000))
    (tmp_path / "two").write_bytes(pack(tar({"a.txt": b"text"})))
    assert [file.kind for file in found(tmp_path)] == ["compressed" if compression else "plain", "archive"]


def test_small_files_share_a_unit_and_large_ones_have_their_own(tmp_path):
    for number, size in enumerate([40, 40, 40, 200, 10, 10]):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    units = planner(100).units(found(tmp_path))
    assert [[piece.name for piece in unit.pieces] for unit in units] == [
        ["0.txt", "1.txt"],
        ["2.txt"],
        ["3.txt"],
        ["4.txt", "5.txt"],
    ]
    assert [unit.name for unit in units] == [f"web-0000{number}" for number in range(4)]
    plan = Plan({"web": found(tmp_path)}, {"words.txt": "0a"}, [Large("web", 0, "a.xz", "a.xz", 7)], units)
    assert Plan.from_json(plan.to_json()) == plan


LINES = st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), max_size=60)


@given(lines=LINES, unit_bytes=st.integers(1, 200), end=st.sampled_from([b"\n", b"\r\n"]))
def test_ranges_cover_a_file_and_begin_at_lines(tmp_path_factory, lines, unit_bytes, end):
    path = tmp_path_factory.mktemp("ranges") / "lines"
    data = b"\x00" + end.join(lines)  # never taken for a compressed file
    path.write_bytes(data)
    pieces = [piece for unit in planner(unit_bytes, "line").units(found(path)) for piece in unit.pieces]
    parts = [data[piece.start : piece.end] for piece in pieces]
    assert b"".join(parts) == data
    assert all(part.endswith(b"\n") for part in parts[:-1])
    longest = max(map(len, data.split(b"\n")))
    assert all(len(part) <= 1.5 * unit_bytes + longest + 2 for part in parts)


@given(lines=LINES, unit_bytes=st.integers(1, 200))
def test_ranges_of_paragraphs_begin_after_empty_lines(tmp_path_factory, lines, unit_bytes):
    path = tmp_path_factory.mktemp("ranges") / "paragraphs"
    data = b"\x00" + b"\n".join(lines)
    path.write_bytes(data)
    pieces = [piece for unit in planner(unit_bytes, "blank_line").units(found(path)) for piece in unit.pieces]
    parts = [data[piece.start : piece.end] for piece in pieces]
    assert b"".join(parts) == data
    assert all(part.endswith(b"\n\n") or part.rsplit(b"\n", 2)[1].strip(b"\r") == b"" for part in parts[:-1])


def test_a_file_of_whole_texts_or_a_compressed_one_is_not_divided(tmp_path):
    (tmp_path / "plain").write_bytes(b"line\n" * 1000)
    (tmp_path / "packed").write_bytes(COMPRESS["zstd"](os.urandom(5000)))
    assert [unit.pieces[0].end for unit in planner(100).units(found(tmp_path / "plain"))] == [None]
    assert [unit.pieces[0].end for unit in planner(100, "line").units(found(tmp_path / "packed"))] == [None]


@pytest.mark.parametrize(("unit_bytes", "expected"), [(10**9, 1), (5000, 2), (1000, 10), (10, 16)])
def test_the_members_of_an_archive_are_shared_out(tmp_path, unit_bytes, expected):
    (tmp_path / "a.tar").write_bytes(tar({f"{number}.txt": b"x" * 100 for number in range(100)}))
    units = planner(unit_bytes).units(found(tmp_path / "a.tar"))
    pieces = [unit.pieces[0] for unit in units]
    assert len(units) == expected
    assert pieces[0].first == 0
    assert pieces[-1].last is None
    assert all(one.last == other.first for one, other in pairwise(pieces))
    assert sum(unit.size for unit in units) == 10_000
    assert max(unit.size for unit in units) <= 1.5 * 10_000 / expected + 100


def test_a_damaged_archive_stops_or_is_planned_as_far_as_it_goes(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar({f"{number}.txt": b"x" * 100 for number in range(100)})[:50_000])
    files = found(tmp_path / "a.tar")
    with pytest.raises(DamagedFile, match=r"a\.tar"):
        planner(1000).units(files)
    units = planner(1000, skip_damaged=True).units(files)
    assert units[-1].pieces[0].last is None
    assert sum(unit.size for unit in units) == 4900


def test_changed_inputs_are_named(folder):
    def plan(words="0a"):
        return Plan({"web": found(folder)}, {"words.txt": words}, [], [])

    before = plan()
    assert before.changes(plan()) == []
    (folder / "a.txt").write_text("other")
    (folder / "b.jsonl").unlink()
    (folder / "new.txt").write_text("new")
    assert before.changes(plan("0b")) == [
        "sources.web: a.txt has changed",
        "sources.web: b.jsonl is gone",
        "sources.web: new.txt was added",
        "words.txt has changed",
    ]


def test_a_file_that_cannot_be_read_is_left_to_its_unit_if_wanted(folder):
    (folder / "c.txt").symlink_to("/proc/self/mem")  # opens, but reading fails
    with pytest.raises(UserError, match=r"c\.txt: Input/output error"):
        found(folder)
    files = find_files([str(folder)], (), 200.0, skip_unreadable=True)
    assert [(file.name, file.kind) for file in files] == [
        ("a.txt", "plain"),
        ("b.jsonl", "plain"),
        ("c.txt", "unreadable"),
        ("deep/c.txt", "plain"),
    ]
    assert [piece.name for unit in planner(100).units(files) for piece in unit.pieces][2] == "c.txt"


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    for name in ("data[1].jsonl", "data1.jsonl"):
        (tmp_path / name).write_text("text")
    assert [file.name for file in found(tmp_path / "data[1].jsonl")] == ["data[1].jsonl"]
    assert [file.name for file in found(tmp_path / "data[0-9].jsonl")] == ["data1.jsonl"]


def test_folders_that_link_to_themselves_and_each_other_are_read_once(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text(folder)
        for link in ("all", "again"):
            (tmp_path / folder / link).symlink_to(tmp_path)
    assert [file.name for file in found(tmp_path)] == ["a/a.txt", "b/b.txt", "c/c.txt"]


def test_files_that_would_be_divided_otherwise_are_refused(folder):
    def plan(unit_bytes, large=()):
        return Plan({"web": found(folder)}, {}, list(large), planner(unit_bytes, "line").units(found(folder)))

    assert plan(4).changes(plan(4)) == []
    (problem,) = plan(4).changes(plan(100))
    assert "other units of work" in problem
    (problem,) = plan(4).changes(plan(4, [Large("web", 0, "a.xz", "a.xz", 7)]))
    assert "other units of work" in problem


def test_inputs_may_be_moved(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "raw"
    shutil.copytree(folder, moved)
    plans = [Plan({"web": found(place)}, {}, [], planner(4, "line").units(found(place))) for place in (folder, moved)]
    assert plans[0].changes(plans[1]) == []


def test_parts_that_a_reader_fetches_may_not_change():
    def plan(count):
        parts = [f"train-{index:05d}-of-{count:05d}" for index in range(count)]
        return Plan({}, {}, [], fetched_units("web", parts))

    assert plan(2).changes(plan(2)) == []
    assert plan(1).changes(plan(2)) == [
        "sources.web: train-00000-of-00001 is gone",
        "sources.web: train-00000-of-00002 was added",
        "sources.web: train-00001-of-00002 was added",
    ]
