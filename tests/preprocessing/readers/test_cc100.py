import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import cleaned, config, read, texts

from preprocessing.clean import clean_unit
from preprocessing.plan import Planner, find_files
from preprocessing.readers.cc100 import Cc100Reader

PLAIN = Cc100Reader()
ROWS = Cc100Reader(rows=True)
LINE = st.text(alphabet="あいう \u3000\u2028\x85a", min_size=1, max_size=8)
DOCUMENTS = st.lists(st.lists(LINE, min_size=1, max_size=4), max_size=6)


def row(text, number=0):
    return json.dumps({"id": str(number), "text": text}, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("一\n二\n\n三\n\n", ["一\n二", "三"]),
        ("一\n\n\n\n\n二\n\n", ["一", "二"]),  # several blank lines
        ("一\n\n二", ["一", "二"]),  # no blank line, no newline at the end
        ("一\n\u3000\n二\n\n三", ["一\n\u3000\n二", "三"]),  # an ideographic space is no empty line
        ("一\r\n二\r\n\r\n三\r\n", ["一\n二", "三"]),
        ("\ufeff一\n\n二", ["一", "二"]),
        ("一\u2028二\x85三\n\n四", ["一\u2028二\x85三", "四"]),
        ("", []),
    ],
)
def test_an_empty_line_ends_a_document(raw, expected):
    assert texts(read(PLAIN, raw.encode())) == expected
    rows = [row(line + "\n") for line in raw.removeprefix("\ufeff").split("\n")]
    assert texts(read(ROWS, b"".join(rows))) == expected


def test_a_line_of_a_megabyte_is_a_line():
    long = "長い行。" * 100_000
    assert texts(read(PLAIN, f"{long}\n二\n\n三".encode())) == [f"{long}\n二", "三"]


def test_ids_are_those_of_the_first_line_or_row():
    assert [document.id for document in read(PLAIN, "\n一\n二\n\n三".encode())] == ["web/file.txt#1", "web/file.txt#10"]
    rows = row("\n") + row("一\n") + row("二\n") + row("\n") + row("三")
    positions = [len(row("\n")), len(rows) - len(row("三"))]
    assert [document.id for document in read(ROWS, rows)] == [f"web/file.txt#{position}" for position in positions]


def test_rows_are_not_divided_and_lines_are():
    assert (PLAIN.cut_at, ROWS.cut_at) == ("blank_line", None)


def test_a_bad_row_is_rejected_and_its_document_goes_on():
    rows = row("一\n") + b"{broken\n" + row(None) + row("二\n") + row("\n") + b'"three"\n' + row("四\n")
    assert texts(read(ROWS, rows)) == ["<json>", "<no_text>", "一\n二", "<no_object>", "四"]


def test_rows_that_lost_their_blank_rows_are_one_document_that_is_too_large():
    rows = b"".join(row(f"{number}行目の文です。\n") for number in range(1000))
    assert texts(read(Cc100Reader(rows=True, max_document_bytes=5000), rows)) == ["<too_large>"]


@given(DOCUMENTS, st.integers(1, 3), st.booleans())
def test_every_document_comes_back_from_lines_and_from_rows(documents, blanks, at_end):
    expected = ["\n".join(lines) for lines in documents]
    raw = ("\n" * (blanks + 1)).join(expected) + "\n" * (at_end * 2)
    assert texts(read(PLAIN, raw.encode())) == expected
    rows = b"".join(row(line + "\n", number) for number, line in enumerate(raw.split("\n")))
    assert texts(read(ROWS, rows)) == expected


@pytest.mark.parametrize("unit_bytes", [64, 200, 1 << 20])
def test_ids_and_texts_do_not_depend_on_the_cuts(tmp_path, unit_bytes):
    documents = [f"{number}番目の文書\n二行目" for number in range(60)]
    (tmp_path / "ja.txt").write_text("\n\n".join(documents) + "\n\n", encoding="utf-8")
    wanted = config(tmp_path / "out", [tmp_path / "ja.txt"], reader={"type": "cc100"}, unit_bytes=unit_bytes)
    units = Planner("web", unit_bytes, PLAIN.cut_at, (), 200.0, False).units(
        find_files([str(tmp_path / "ja.txt")], (), 200.0)
    )
    assert (len(units) > 1) == (unit_bytes < 1000)
    assert sum(clean_unit(wanted, unit)["counts"]["documents_in"] for unit in units) == 60
    raw = (tmp_path / "ja.txt").read_bytes()
    found = cleaned(tmp_path / "out")
    assert [record["text"] for record in found] == documents
    assert [record["id"] for record in found] == [f"web/ja.txt#{raw.index(text.encode())}" for text in documents]


@pytest.mark.parametrize(
    "reader", [Cc100Reader(max_document_bytes=1000), Cc100Reader(rows=True, max_document_bytes=1000)]
)
def test_an_endless_line_does_not_fill_the_memory(reader):
    raw = b'{"text": "' + b"a" * 30_000_000 + b'"}\n\n'
    tracemalloc.start()
    try:
        found = texts(read(reader, raw))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == ["<too_large>"]
    assert peak < 8_000_000
