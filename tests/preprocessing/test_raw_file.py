import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import raw_file


@given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))))
def test_positions_are_those_of_the_lines(lines):
    data = b"\n".join(lines)
    for position, line, complete in raw_file(data, start=100).lines(max_bytes=100):
        assert complete
        assert data[position - 100 :].startswith(line)
        assert position == 100 or data[position - 101 : position - 100] == b"\n"


@pytest.mark.parametrize(("size", "complete"), [(9, True), (10, True), (11, False), (3_000_000, False)])
def test_the_limit_counts_the_line_without_its_end(size, complete):
    found = list(raw_file(b"x" * size + b"\nnext").lines(max_bytes=10))
    assert [(position, whole) for position, _, whole in found] == [(0, complete), (size + 1, True)]
    assert len(found[0][1]) <= 11


def test_the_whole_content_up_to_the_limit():
    assert raw_file(b"0123456789").whole(10) == (b"0123456789", True)
    assert raw_file(b"0123456789").whole(9) == (b"012345678", False)


def test_records_carry_their_provenance():
    raw = raw_file(b"")
    assert raw.document(7, "一", {"url": "u"}).id == "web/file.txt#7"
    rejected = raw.reject(7, "json", b"\x81" * 1000)
    assert (rejected.file, rejected.member, rejected.position, rejected.reason) == ("folder/file.txt", None, 7, "json")
    assert rejected.start == repr(b"\x81" * 120)
