import pytest

from jp_llm.shards.format import HEADER_BYTES, IndexHeader, dtype_name, idx_size

# Byte by byte after megatron/core/datasets/indexed_dataset.py: three uint16 documents.
GOLDEN = (
    b"MMIDIDX\x00\x00"
    b"\x01\x00\x00\x00\x00\x00\x00\x00"
    b"\x08"
    b"\x03\x00\x00\x00\x00\x00\x00\x00"
    b"\x04\x00\x00\x00\x00\x00\x00\x00"
)


def test_header_has_megatrons_bytes() -> None:
    assert IndexHeader("uint16", 3).pack() == GOLDEN
    assert len(GOLDEN) == HEADER_BYTES == 34
    assert IndexHeader("int32", 3).pack() == GOLDEN[:17] + b"\x04" + GOLDEN[18:]


def test_header_reads_back() -> None:
    assert IndexHeader.unpack(GOLDEN + b"more") == IndexHeader("uint16", 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an MMIDIDX index"),
        (GOLDEN[:33], "not an MMIDIDX index"),
        (b"TNTIDX\x00\x00\x00" + GOLDEN[9:], "not an MMIDIDX index"),
        (GOLDEN[:9] + b"\x02" + GOLDEN[10:], "version 2"),
        (GOLDEN[:17] + b"\x05" + GOLDEN[18:], "type int64"),
        (GOLDEN[:17] + b"\x63" + GOLDEN[18:], "code 99"),
        (GOLDEN[:26] + b"\x03" + GOLDEN[27:], "3 sequences with 3 document boundaries"),
    ],
)
def test_foreign_header_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndexHeader.unpack(data)


def test_type_of_ids_follows_megatrons_limit() -> None:
    assert [dtype_name(size) for size in (1, 65_499, 65_500, 200_000)] == ["uint16", "uint16", "int32", "int32"]


def test_index_size() -> None:
    assert idx_size(0) == 34 + 8
    assert idx_size(3) == 34 + 3 * 4 + 3 * 8 + 4 * 8
