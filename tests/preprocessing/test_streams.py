import io
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from raw import COMPRESS

from preprocessing.streams import DamagedFile, compression_of, decompressed

TEXT = "".join(f"{number}行目。吾輩は猫である。\n" for number in range(20_000)).encode()
RATIO = 200.0


def unpacked(data: bytes, ratio: float = RATIO) -> bytes:
    return decompressed(io.BytesIO(data), "raw/file", ratio).read()


@pytest.mark.parametrize("name", COMPRESS)
def test_every_compression_is_recognised_by_its_first_bytes(name):
    packed = COMPRESS[name](TEXT)
    assert compression_of(packed) == name
    assert unpacked(packed) == TEXT


def test_plain_bytes_pass_through():
    assert compression_of(TEXT) is None
    assert unpacked(TEXT) == TEXT
    assert unpacked(b"") == b""


@given(st.sampled_from(sorted(COMPRESS)), st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_frames_in_a_row_are_one_content(name, parts):
    assert unpacked(b"".join(COMPRESS[name](part) for part in parts)) == b"".join(parts)


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_padding_after_the_stream_is_ignored(name):
    assert unpacked(COMPRESS[name](TEXT) + bytes(4096)) == TEXT


def test_skippable_zstd_frames_are_skipped():
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    assert unpacked(skippable + COMPRESS["zstd"](TEXT)) == TEXT


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("cut", [7, 0.3, 0.9, -1])
def test_a_cut_stream_names_the_file_and_the_place(name, cut):
    packed = COMPRESS[name](TEXT)
    kept = packed[: int(len(packed) * cut) if isinstance(cut, float) else cut]
    stream = decompressed(io.BytesIO(kept), "raw/file", RATIO)
    got = b""
    with pytest.raises(DamagedFile, match=f"raw/file: the {name} stream is cut off \\(at byte {len(kept):,} ") as caught:
        while chunk := stream.read1(1000):
            got += chunk
    assert TEXT.startswith(got)
    assert caught.value.position == len(got)


@pytest.mark.parametrize("name", COMPRESS)
def test_a_changed_byte_is_found(name):
    packed = bytearray(COMPRESS[name](TEXT))
    packed[len(packed) // 2] ^= 0x55
    with pytest.raises(DamagedFile, match="raw/file"):
        unpacked(bytes(packed))


@pytest.mark.parametrize("name", COMPRESS)
def test_other_bytes_after_the_stream_are_not_lost_in_silence(name):
    with pytest.raises(DamagedFile, match=f"something that is not {name} follows"):
        unpacked(COMPRESS[name](TEXT) + b"something else")


@pytest.mark.parametrize("name", ["gzip", "zstd", "bz2"])
def test_a_bomb_stops_at_the_ratio_with_little_memory(name):
    compressor = zstandard.ZstdCompressor(level=1)
    block = bytes(16 << 20)
    packed = (compressor.compress(block) if name == "zstd" else COMPRESS[name](block)) * 20
    stream = decompressed(io.BytesIO(packed), "bomb", RATIO)
    tracemalloc.start()
    try:
        produced = 0
        with pytest.raises(DamagedFile, match="expands more than 200 times.*max_decompression_ratio"):
            while chunk := stream.read1(1 << 20):
                produced += len(chunk)
        assert produced <= RATIO * len(packed) + (64 << 20)
        assert tracemalloc.get_traced_memory()[1] < 250 << 20
    finally:
        tracemalloc.stop()


def test_dense_but_small_content_is_no_bomb():
    assert len(unpacked(COMPRESS["zstd"](bytes(10 << 20)))) == 10 << 20
