import io
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from raw import COMPRESS

from jp_llm.texts.streams import DamagedFile, compression_of, decompressed

TEXT = "".join(f"{number}行目。吾輩は猫である。\n" for number in range(5_000)).encode()
PACKED = {name: compress(TEXT) for name, compress in COMPRESS.items()}
RATIO = 200.0


def unpacked(data: bytes, ratio: float = RATIO) -> bytes:
    return decompressed(io.BytesIO(data), "raw/file", ratio).read()


@pytest.mark.parametrize("name", COMPRESS)
def test_every_compression_is_recognised_by_its_first_bytes(name):
    packed = PACKED[name]
    assert compression_of(packed) == name
    assert unpacked(packed) == TEXT


def read_until_damage(data: bytes) -> tuple[int, DamagedFile]:
    """How many bytes of TEXT (or zeros) can be read, and what comes then."""
    stream = decompressed(io.BytesIO(data), "raw/file", RATIO)
    read = 0
    try:
        while chunk := stream.read1(1 << 20):
            assert chunk.startswith(b"\0") or TEXT.startswith(chunk, read)
            read += len(chunk)
    except DamagedFile as error:
        return read, error
    raise AssertionError("no damage was found")


def test_plain_bytes_pass_through():
    assert compression_of(TEXT) is None
    assert unpacked(TEXT) == TEXT
    assert unpacked(b"") == b""


@given(st.sampled_from(sorted(COMPRESS)), st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_frames_in_a_row_are_one_content(name, parts):
    assert unpacked(b"".join(COMPRESS[name](part) for part in parts)) == b"".join(parts)


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_padding_after_the_stream_is_ignored(name):
    assert unpacked(PACKED[name] + bytes(4096)) == TEXT


def test_skippable_zstd_frames_are_skipped():
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    assert unpacked(skippable + PACKED["zstd"]) == TEXT


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("cut", [7, 0.3, 0.9, -1])
def test_a_cut_stream_names_the_file_and_the_place(name, cut):
    packed = PACKED[name]
    kept = packed[: int(len(packed) * cut) if isinstance(cut, float) else cut]
    read, error = read_until_damage(kept)
    assert str(error).startswith(f"raw/file: the {name} stream is cut off (at byte {len(kept):,} ")
    assert error.position == read


@pytest.mark.parametrize("name", COMPRESS)
def test_a_changed_byte_is_found(name):
    packed = bytearray(PACKED[name])
    packed[len(packed) // 2] ^= 0x55
    with pytest.raises(DamagedFile, match="raw/file"):
        unpacked(bytes(packed))


@pytest.mark.parametrize("name", COMPRESS)
def test_other_bytes_after_the_stream_are_not_lost_in_silence(name):
    with pytest.raises(DamagedFile, match=f"something that is not {name} follows"):
        unpacked(PACKED[name] + b"something else")


@pytest.mark.parametrize("name", ["gzip", "zstd", "bz2"])
def test_a_bomb_stops_at_the_ratio_with_little_memory(name):
    compressor = zstandard.ZstdCompressor(level=1)
    block = bytes(16 << 20)
    packed = (compressor.compress(block) if name == "zstd" else COMPRESS[name](block)) * 10
    tracemalloc.start()
    try:
        read, error = read_until_damage(packed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "expands more than 200 times" in str(error)
    assert "max_decompression_ratio" in str(error)
    assert read <= RATIO * len(packed) + (64 << 20)
    assert peak < 100 << 20  # one step of decompression, of 160 MiB in all


def test_dense_but_small_content_is_no_bomb():
    assert len(unpacked(COMPRESS["zstd"](bytes(10 << 20)))) == 10 << 20
