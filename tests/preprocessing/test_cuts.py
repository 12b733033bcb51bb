import bz2
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import COMPRESS

from preprocessing.cuts import page_stream_start, record_start, rest_of_record
from preprocessing.plan import Planner, find_files

HEADER = b"<mediawiki>\n  <siteinfo>\n  </siteinfo>\n"
FOOTER = b"</mediawiki>\n"


def pages(start, count):
    rng = random.Random(start)
    body = "".join(
        f"  <page>\n    <title>{number}</title>\n    <text>{rng.random()} &lt;page&gt;\n</text>\n  </page>\n"
        for number in range(start, start + count)
    )
    return body.encode()


def dump(streams=40, per_stream=5):
    parts = [HEADER, *(pages(number * per_stream, per_stream) for number in range(streams)), FOOTER]
    return [bz2.compress(part) for part in parts], b"".join(parts)


def units(path, unit_bytes, cut_at="page", split_above_bytes=1 << 40):
    planner = Planner("wiki", unit_bytes, cut_at, (), 200.0, False, split_above_bytes)
    files = find_files([str(path)], (), 200.0)
    return planner.units(files), planner.large(files)


@pytest.mark.parametrize("unit_bytes", [300, 1000, 3000])
def test_a_dump_of_many_streams_is_cut_before_pages(tmp_path, unit_bytes):
    streams, content = dump()
    (tmp_path / "dump.bz2").write_bytes(b"".join(streams))
    found, large = units(tmp_path / "dump.bz2", unit_bytes)
    pieces = [piece for unit in found for piece in unit.pieces]
    data = b"".join(streams)
    assert len(pieces) > len(data) / unit_bytes / 2
    assert large == []
    parts = [bz2.decompress(data[piece.start : piece.end]) for piece in pieces]
    assert all(piece.compressed for piece in pieces)
    assert b"".join(parts) == content
    assert parts[0].startswith(HEADER)
    assert all(part.startswith((b"  <page>\n", FOOTER)) for part in parts[1:])
    offsets = {sum(map(len, streams[:number])) for number in range(len(streams))}
    assert {piece.start for piece in pieces} <= offsets


def test_other_bz2_files_are_not_cut(tmp_path):
    (tmp_path / "one.bz2").write_bytes(bz2.compress(HEADER + pages(0, 3000)))
    blocks = [bz2.compress(f"  text {number}\n".encode() * 900) for number in range(40)]
    (tmp_path / "parallel.bz2").write_bytes(b"".join(blocks))
    (tmp_path / "web.xz").write_bytes(COMPRESS["xz"](HEADER + pages(0, 300)))
    for name in ("one.bz2", "parallel.bz2", "web.xz"):
        found, large = units(tmp_path / name, 1000)
        assert [piece.end for unit in found for piece in unit.pieces] == [None]
        assert large == []
        found, large = units(tmp_path / name, 1000, split_above_bytes=2000)
        assert found == []
        assert [item.name for item in large] == [name]
        # A reader that cannot start in the midst gets the whole file.
        assert units(tmp_path / name, 1000, None, split_above_bytes=2000)[1] == []


def test_a_magic_by_chance_is_no_stream(tmp_path):
    magic = b"BZh91AY&SY" + bytes(50)
    file = io.BytesIO(magic + bz2.compress(b"no page") + magic + bz2.compress(b"\n  <page>\n") + magic)
    start = len(magic + bz2.compress(b"no page") + magic)
    assert page_stream_start(file, 1, 1000) == start
    assert page_stream_start(file, start, 1000) == start
    assert page_stream_start(file, start + 1, 1000) is None
    assert page_stream_start(file, 0, start) is None


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_file_full_of_magics_costs_little():
    file = CountingFile(b"BZh91AY&SY" * 300_000)
    assert page_stream_start(file, 0, 3_000_000) is None
    assert file.taken < 5_000_000
    # Many streams, each of which can be decompressed.
    many = CountingFile(bz2.compress(b"no page") * 2000 + bz2.compress(b"<page>\n"))
    assert page_stream_start(many, 0, 1 << 30) is None
    assert many.taken < 5_000_000


def test_a_page_in_a_block_that_compresses_badly_is_found():
    body = random.Random(0).randbytes(700_000).hex().encode()
    file = io.BytesIO(bytes(100) + bz2.compress(b"  <page>\n" + body))
    assert page_stream_start(file, 0, 1 << 30) == 100


@pytest.mark.parametrize("distance", range(-12, 13, 3))
def test_a_stream_is_found_across_windows(distance):
    start = (1 << 20) + distance
    file = io.BytesIO(bytes(start) + bz2.compress(b"  <page>\n"))
    assert page_stream_start(file, 0, 1 << 30) == start


LINES = st.lists(
    st.sampled_from([b"<page>", b"  <page>", b"", b"text", b"</page>", b"a <page>", b"x" * 40]), max_size=40
)


@given(lines=LINES, position=st.integers(1, 400), end=st.sampled_from([b"\n", b"\r\n"]))
def test_records_begin_where_an_independent_scan_says(lines, position, end):
    data = end.join(lines)
    position = min(position, len(data) + 1)
    starts, offset = [], 0
    for line in data.splitlines(keepends=True):
        starts.append((offset, line))
        offset += len(line)
    later = [(start, line) for start, line in starts if start >= position]
    pages_after = [start for start, line in later if line.strip() == b"<page>"]
    assert record_start(io.BytesIO(data), position, "page") == (pages_after[0] if pages_after else len(data))
    if position <= len(data):
        assert record_start(io.BytesIO(data), position, "line") == (later[0][0] if later else len(data))


def test_a_line_that_is_long_comes_in_pieces():
    stream = io.BytesIO(b"x" * (3 << 20) + b"\n<page>\nrest")
    parts = list(rest_of_record(stream, "page"))
    assert b"".join(parts) == b"x" * (3 << 20) + b"\n"
    assert max(map(len, parts)) == 1 << 20
    assert stream.read() == b"rest"  # the line `<page>` is what the generator returns
