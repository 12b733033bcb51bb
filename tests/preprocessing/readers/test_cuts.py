"""What every reader of lines promises: no record is lost, and it does not matter where a file is cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import read

from preprocessing.readers.cc100 import Cc100Reader
from preprocessing.readers.jsonl import JsonLinesReader
from preprocessing.readers.mc4 import Mc4Reader
from preprocessing.readers.oscar import OscarReader
from preprocessing.readers.text import TextReader
from preprocessing.readers.tweets import TweetsReader

JSON = (JsonLinesReader(), Mc4Reader(), OscarReader(), TweetsReader(lines=True))
GOOD = st.text(max_size=5).map(lambda text: json.dumps({"id": "1", "text": text, "content": text}).encode())
LINE = GOOD | st.binary(max_size=8).map(lambda data: data.replace(b"\n", b""))
LINES = st.lists(LINE | st.just(b""), max_size=10)


@pytest.mark.parametrize("reader", JSON, ids=lambda reader: type(reader).__name__)
@given(LINES)
def test_every_line_is_a_document_or_a_rejection(reader, lines):
    assert len(read(reader, b"\n".join(lines))) == sum(bool(line.strip()) for line in lines)


@pytest.mark.parametrize("reader", [*JSON, TextReader(document="line")], ids=lambda reader: type(reader).__name__)
@given(LINES, st.integers(0, 9))
def test_a_cut_between_lines_changes_nothing(reader, lines, place):
    assert reader.cut_at == "line"
    first, rest = (b"".join(line + b"\n" for line in part) for part in (lines[:place], lines[place:]))
    assert read(reader, first) + read(reader, rest, len(first)) == read(reader, first + rest)


@pytest.mark.parametrize("reader", [Cc100Reader(), TextReader(document="blank_line")])
@given(LINES, LINES, st.integers(1, 3))
def test_a_cut_after_an_empty_line_changes_nothing(reader, before, after, blanks):
    assert reader.cut_at == "blank_line"
    first = b"".join(line + b"\n" for line in before) + b"\n" * blanks
    rest = b"".join(line + b"\n" for line in after)
    assert read(reader, first) + read(reader, rest, len(first)) == read(reader, first + rest)
