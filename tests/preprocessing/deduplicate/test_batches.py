import json

import pytest
import zstandard

from jp_llm.runtime.errors import UserError
from preprocessing.deduplicate.batches import read_batches


def written(folder, lines):
    path = folder / "cleaned" / "web" / "train-00007-000.jsonl.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(zstandard.ZstdCompressor().compress("".join(f"{line}\n" for line in lines).encode()))
    return path


def test_batches_hold_every_document_in_order(tmp_path):
    texts = ["あ" * length for length in (10, 90, 5, 200, 1)]
    lines = [json.dumps({"id": f"{n}", "text": text, "meta": {"n": 10**400}}) for n, text in enumerate(texts)]
    batches = list(read_batches(written(tmp_path, lines), characters=100))
    assert [(batch.first, batch.ids) for batch in batches] == [(0, ["0", "1"]), (2, ["2", "3"]), (4, ["4"])]
    assert [text for batch in batches for text in batch.texts] == texts
    assert [line.decode().rstrip("\n") for batch in batches for line in batch.lines] == lines


def test_a_damaged_file_says_how_to_make_it_again(tmp_path):
    path = written(tmp_path, ['{"id": "1", "text'])
    with pytest.raises(UserError, match=r"damaged since .* delete .*/marks/clean/web-00007\.json and run the same"):
        list(read_batches(path))
