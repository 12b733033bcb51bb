import datetime
import io
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw import COMPRESS, cleaned, config, raw_file, read, texts

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile, decompressed
from preprocessing.clean import clean_unit
from preprocessing.plan import Planner, find_files
from preprocessing.readers.parquet import ParquetReader, _batch_rows

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install 'jp-llm[corpus]')")
parquet = pytest.importorskip("pyarrow.parquet")

READER = ParquetReader()


def written(table, **options):
    buffer = io.BytesIO()
    parquet.write_table(pa.table(table) if isinstance(table, dict) else table, buffer, **options)
    return buffer.getvalue()


def test_texts_and_chosen_columns():
    table = {
        "text": ["一", "二\n三"],
        "url": ["https://example.jp/", None],
        "time": [datetime.datetime(2020, 1, 2, 3, 4, 5), None],
        "price": [Decimal("1.50"), None],
        "nested": [{"labels": ["a", "b"], "raw": b"\xff"}, None],
        "other": [1, 2],
    }
    reader = ParquetReader(meta_fields=("url", "time", "price", "nested", "absent"))
    found = read(reader, written(table))
    assert texts(found) == ["一", "二\n三"]
    assert [document.id for document in found] == ["web/file.txt#0", "web/file.txt#1"]
    assert found[0].meta == {
        "url": "https://example.jp/",
        "time": "2020-01-02T03:04:05",
        "price": "1.50",
        "nested": {"labels": ["a", "b"], "raw": "\\xff"},
    }
    assert found[1].meta == {"url": None, "time": None, "price": None, "nested": None}


@settings(max_examples=25)
@given(st.lists(st.none() | st.text(), max_size=300), st.integers(1, 200), st.booleans())
def test_ids_and_texts_do_not_depend_on_row_groups(values, rows, dictionary):
    table = pa.table({"body": pa.array(values, pa.string())})
    data = written(table, row_group_size=rows, use_dictionary=dictionary)
    found = read(ParquetReader(text_field="body"), data)
    assert texts(found) == ["<no_text>" if value is None else value for value in values]
    numbers = [int(item.id.rpartition("#")[2]) if hasattr(item, "id") else item.position for item in found]
    assert numbers == list(range(len(values)))


def test_large_strings_and_dictionaries_are_text():
    values = ["一", "二", "一"]
    for kind in (pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        assert texts(read(READER, written({"text": pa.array(values).cast(kind)}))) == values


def test_rows_that_are_no_text():
    assert texts(read(READER, written({"text": [1, None]}))) == ["<text_is_no_string>", "<no_text>"]
    bad = pa.array(["一".encode(), "二".encode("cp932"), "三".encode()]).view(pa.string())
    found = read(READER, written({"text": bad}))
    assert texts(found) == ["一", "<encoding>", "三"]
    assert found[1].start == repr("二".encode("cp932"))
    assert texts(read(ParquetReader(max_document_bytes=6), written({"text": ["三文字", "二字"]}))) == [
        "<too_large>",
        "二字",
    ]


def test_a_damaged_file_keeps_the_rows_before_the_damage(tmp_path):
    values = [f"{number}番目の文書" for number in range(2000)]
    data = bytearray(written({"text": values}, row_group_size=500, compression="zstd", use_dictionary=False))
    group = parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(2).column(0)
    start = group.data_page_offset
    data[start : start + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    (tmp_path / "a.parquet").write_bytes(data)
    reader = {"type": "parquet"}
    with pytest.raises(UserError, match=r"a\.parquet: the Parquet file is damaged after row 1,000 .* on_damaged_file"):
        clean(config(tmp_path / "out", [tmp_path / "a.parquet"], reader=reader))
    counts = clean(config(tmp_path / "out", [tmp_path / "a.parquet"], reader=reader, on_damaged_file="skip"))
    found = [record["text"] for record in cleaned(tmp_path / "out")]
    assert found == values[:1000]
    assert counts["rejected"] == {"damaged_file": 1}


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all", written({"text": ["一"]})[:-6]])
def test_what_is_no_parquet(data):
    with pytest.raises(DamagedFile, match="the Parquet file is damaged after row 0"):
        read(READER, data)


def test_a_missing_column_is_named():
    with pytest.raises(DamagedFile, match="no column 'text'; text_field may be one of body, url"):
        read(READER, written({"body": ["一"], "url": ["二"]}))


def test_a_packed_file_says_what_to_do():
    packed = decompressed(io.BytesIO(COMPRESS["gzip"](written({"text": ["一"]}))), "a", 200.0)
    raw = raw_file(b"")
    object.__setattr__(raw, "stream", packed)
    with pytest.raises(UserError, match="unpack it"):
        list(READER.read(raw))


def clean(wanted):
    source = wanted.sources["web"]
    files = find_files(source.paths, source.files, 200.0)
    (unit,) = Planner("web", wanted.unit_bytes, READER.cut_at, (), 200.0, True).units(files)
    return clean_unit(wanted, unit)["counts"]


@pytest.mark.parametrize(
    ("mean", "rows"), [(100, 64), (1 << 16, 64), (1 << 20, 4), (1 << 22, 1), (15_000_000, 1), (0, 64)]
)
def test_few_large_rows_are_decoded_at_once(mean, rows):
    assert _batch_rows(SimpleNamespace(total_byte_size=mean * 40, num_rows=40)) == rows
    assert _batch_rows(SimpleNamespace(total_byte_size=0, num_rows=0)) == 64


def test_rows_that_are_decoded_one_by_one_are_the_same(monkeypatch):
    values = [f"{number}番目" for number in range(200)]
    data = written({"text": values, "url": values}, row_group_size=150)
    reader = ParquetReader(meta_fields=("url",))
    expected = read(reader, data)
    monkeypatch.setattr("preprocessing.readers.parquet._BATCH_BYTES", 1)
    assert read(reader, data) == expected
    assert texts(expected) == [item.meta["url"] for item in expected] == values
