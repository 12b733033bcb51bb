import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import read, texts

from preprocessing.readers.text import TextReader

BY_FILE = TextReader()
BY_LINE = TextReader(document="line")
BY_BLANK = TextReader(document="blank_line")


def test_a_file_is_a_document():
    assert texts(read(BY_FILE, "一行目\n\n二行目\n".encode())) == ["一行目\n\n二行目\n"]
    assert read(BY_FILE, b"") == []


def test_a_line_is_a_document():
    found = read(BY_LINE, "一行目\r\n\n二行目".encode())
    assert texts(found) == ["一行目", "二行目"]
    assert [document.id for document in found] == ["web/file.txt#0", "web/file.txt#12"]


def test_lines_end_at_newline_only():
    odd = "一\u2028二\x85三\x0b四\x0c五\u2029六\x1c七"
    assert texts(read(BY_LINE, f"{odd}\n八".encode())) == [odd, "八"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("一\n二\n\n三\n", ["一\n二", "三"]),
        ("\n\n\n一\n\n\n\n二", ["一", "二"]),
        ("一\r\n\r\n二\r\n", ["一", "二"]),
        ("一\n\u3000\n二\n\n三\n\n", ["一\n\u3000\n二", "三"]),
        ("", []),
        ("\n\n", []),
    ],
)
def test_an_empty_line_ends_a_document(raw, expected):
    assert texts(read(BY_BLANK, raw.encode())) == expected


def test_positions_are_byte_offsets():
    found = read(BY_BLANK, "一\n\n二\n三\n\n".encode(), start=100)
    assert [document.id for document in found] == ["web/file.txt#100", "web/file.txt#105"]


def test_one_document_that_does_not_decode_costs_only_itself():
    raw = "一\n".encode() + "二\n".encode("cp932") + "三".encode()
    found = read(BY_LINE, raw)
    assert texts(found) == ["一", "<encoding>", "三"]
    assert found[1].position == 4
    assert found[1].start == repr("二".encode("cp932"))
    assert texts(read(TextReader(document="line", encodings=("utf-8", "cp932")), raw)) == ["一", "二", "三"]


@pytest.mark.parametrize("kind", ["file", "line", "blank_line"])
def test_a_document_beyond_the_limit_is_rejected_and_the_next_is_found(kind):
    reader = TextReader(document=kind, max_document_bytes=10)
    found = texts(read(reader, b"0123456789abcdef" * 200_000 + b"\n\n0123456789\n\nshort"))
    assert found == (["<too_large>"] if kind == "file" else ["<too_large>", "0123456789", "short"])


def test_many_short_lines_beyond_the_limit_are_rejected():
    reader = TextReader(document="blank_line", max_document_bytes=10)
    assert texts(read(reader, b"0123\n" * 100_000 + b"\nshort")) == ["<too_large>", "short"]


@given(st.lists(st.text(alphabet="あいう \u3000\u2028\t", min_size=1).filter(lambda line: line == line.rstrip("\r"))))
def test_no_line_is_lost(lines):
    assert texts(read(BY_LINE, "\n".join(lines).encode())) == lines
