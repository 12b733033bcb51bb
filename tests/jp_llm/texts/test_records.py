"""Lines of JSON Lines files, and the words for those that are none."""

import json
from pathlib import Path

import pytest
import zstandard

from jp_llm.runtime.errors import UserError
from jp_llm.texts.records import read_objects, read_records


def test_records_keep_their_other_fields_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    rows = [{"text": "春", "prompt": "昔", "tokens": [1]}, {"text": "", "source": 7}]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n \n")
    assert list(read_objects(path)) == rows
    assert list(read_records(path)) == [(None, "春"), ("7", "")]


def test_a_bad_line_is_named_after_the_good_ones_were_given(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "春"}\nnull\n')
    records = read_records(path)
    assert next(records) == (None, "春")
    with pytest.raises(UserError, match=r"texts\.jsonl: line 2: no object"):
        next(records)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.jsonl: cannot be read"):
        list(read_records(tmp_path / "absent.jsonl"))
    with pytest.raises(UserError, match="cannot be read"):
        list(read_records(tmp_path))


def test_a_file_that_expands_too_much_names_a_remedy_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl.zst"
    path.write_bytes(zstandard.ZstdCompressor(level=1).compress(bytes(16 << 20)) * 6)
    with pytest.raises(UserError, match="expands more than 1000 times; if that is meant, decompress it first"):
        list(read_records(path))
