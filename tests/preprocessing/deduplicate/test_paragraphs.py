"""Repeated paragraphs, against the rule of the documentation."""

import random

import numpy as np
import orjson
import pytest
from duplicates import config, sentences
from raw import cleaned

from preprocessing.deduplicate.lines import merge_paragraphs
from preprocessing.deduplicate.tables import Workspace, document_number, read_rows, write_array
from preprocessing.run import run


def rule(texts):
    """Document by document: a paragraph stays in the first that has it."""
    first, left = {}, []
    for number, text in enumerate(texts):
        lines = text.split("\n")
        for line in lines:
            first.setdefault(line, number)
        left.append("\n".join(line for line in lines if first[line] == number))
    return [text for text in left if text]


@pytest.mark.parametrize("memory_bytes", [1 << 30, 3_000])
def test_paragraphs_stay_where_they_stand_first(tmp_path, memory_bytes):
    """In one file and in several, also twice in a document."""
    rng = random.Random(4)
    paragraphs = [sentences(rng, 4) for _ in range(40)]
    texts = ["\n".join(rng.choices(paragraphs, k=rng.randint(1, 4))) for _ in range(60)]
    for part in range(4):
        lines = [orjson.dumps({"text": text}) for text in texts[15 * part : 15 * part + 15]]
        (tmp_path / f"a-{part}.jsonl").write_bytes(b"\n".join(lines))
    rules = {"exact": False, "lines": None, "near": None, "maximum_lost": 1.0, "memory_bytes": memory_bytes}
    wanted = config(tmp_path / "out", tmp_path, deduplicate=rules, validation_fraction=0.0, unit_bytes=1_000)
    run(wanted.model_copy(update={"sources": {"a": wanted.sources["a"]}}))
    assert len(list((tmp_path / "out" / "documents" / "a").iterdir())) > 3
    assert [record["text"] for record in cleaned(tmp_path / "out", "a")] == rule(texts)


def test_a_paragraph_of_very_many_documents_takes_a_row_of_each_file(tmp_path):
    workspace = Workspace(str(tmp_path))
    rows = [
        [(5, document_number(0, 2), 1), (9, document_number(0, 3), 0)],
        [(5, document_number(1, 0), 0), (7, document_number(1, 4), 1)],
        [(7, document_number(2, 1), 1), (8, document_number(2, 6), 0)],
    ]
    for file, table in enumerate(rows):
        write_array(workspace.path("paragraphs", file), np.array(table, dtype=np.uint64))
    assert merge_paragraphs(str(tmp_path), 3, 0, 1) == {"found": 4}
    workspace.finish("repeated_paragraphs", 1)
    (table,) = workspace.decided("repeated_paragraphs")
    assert read_rows(table, 3).tolist() == [
        [document_number(0, 2), 5, 1],
        [document_number(1, 0), 5, 0],
        [document_number(1, 4), 7, 1],
        [document_number(2, 1), 7, 0],
    ]
