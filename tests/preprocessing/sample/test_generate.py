"""The corpus as a whole: the same bytes every time, and our own readers find what the answer key says."""

import copy
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jp_llm.runtime.errors import UserError
from preprocessing.counts import Counts
from preprocessing.document import Document, Rejected
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.mappers.whitespace import WhitespaceMapper
from preprocessing.pipeline import cleaned
from preprocessing.sample import generate as generating
from preprocessing.sample.config import SampleConfig
from preprocessing.sample.document import repaired
from preprocessing.sample.formats import damaged
from preprocessing.sample.generate import generate, run

SMALL = 20_000
CHARACTERS = 80_000
"""Of the fixture `corpus`."""
MENDED = {"separated_dakuten", "half_width_katakana", "zero_width", "lower_block"}
"""What the mappers of the demo mend. Menus and full-width letters stay: what becomes of them is for other steps."""


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


MAPPERS = (UnicodeMapper(), WhitespaceMapper())


def mapped(text, mappers=MAPPERS):
    document = Document("", text, "")
    for mapper in mappers:
        document.text = mapper.map(document, Counter())
    return document.text


def test_the_same_seed_and_size_give_the_same_bytes_in_any_process(tmp_path):
    generate(tmp_path / "one", seed=3, characters=SMALL)
    code = (
        "from pathlib import Path; from preprocessing.sample.generate import generate; "
        f"generate(Path('two'), seed=3, characters={SMALL})"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(Path(generating.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_another_seed_gives_other_texts(tmp_path, corpus):
    generate(tmp_path / "other", seed=8, characters=SMALL)
    assert not set(hashes(tmp_path / "other").values()) & set(hashes(corpus).values())


def test_what_is_there_is_left_alone(tmp_path, capsys):
    config = SampleConfig(output_dir=str(tmp_path / "sample"), seed=3, characters=SMALL)
    run(config)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sample").rglob("*")}
    assert "generated" in capsys.readouterr().out
    run(config)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "sample").rglob("*")} == before
    assert "already there" in capsys.readouterr().out
    with pytest.raises(UserError, match="another seed; choose another output_dir"):
        run(config.model_copy(update={"seed": 4}))
    with pytest.raises(UserError, match="another characters"):
        run(config.model_copy(update={"characters": SMALL + 1}))
    next((tmp_path / "sample" / "plain").iterdir()).unlink()
    with pytest.raises(UserError, match="1 files are missing or changed"):
        run(config)


def test_a_folder_of_somebody_else_is_not_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="no sample corpus"):
        generate(tmp_path, seed=3, characters=SMALL)
    assert hashes(tmp_path) == {"notes.txt": hashlib.sha256(b"mine").hexdigest()}


def test_nothing_is_left_of_a_run_that_failed(tmp_path, monkeypatch):
    def full(corpus, seed):
        raise OSError("no space left on device")

    monkeypatch.setattr(damaged, "write", full)
    with pytest.raises(OSError, match="no space"):
        generate(tmp_path / "sample", seed=3, characters=SMALL)
    assert not list(tmp_path.iterdir())


def test_every_record_is_what_the_key_says(records):
    assert len(records) > 100
    for answer, record in records:
        rejected = {"bad_record", "rights_reserved"} & {defect["type"] for defect in answer["defects"]}
        assert isinstance(record, Rejected) == bool(rejected)
        if rejected:
            assert record.reason == answer["reason"]


def test_clean_documents_come_out_as_the_key_has_them(records):
    clean = [(answer, record) for answer, record in records if answer["expected"] == "keep" and not answer["defects"]]
    assert Counter(answer["source"] for answer, _ in clean).keys() == {"plain", "cc100", "jsonl", "aozora"}
    for answer, record in clean:
        assert mapped(record.text) == answer["clean"], answer["id"]


def test_defects_stand_where_the_key_says(records):
    placed = Counter()
    for answer, record in records:
        if not isinstance(record, Document):
            continue
        for defect in answer["defects"]:
            if "start" in defect:
                assert record.text[defect["start"] : defect["end"]] == defect["found"]
                placed[defect["type"]] += 1
        if answer["clean"] is not None and answer["source"] != "aozora":
            assert repaired(record.text, answer["defects"]) == answer["clean"]
    assert placed.keys() == MENDED | {
        "boilerplate",
        "full_width_ascii",
        "not_personal_data",
        "personal_data",
        "replacement_character",
        "url",
    }


def test_mappers_mend_what_is_theirs(records):
    mended = Counter()
    for answer, record in records:
        types = MENDED & {defect["type"] for defect in answer["defects"]}
        if types:
            mended.update(types)
            expected = repaired(record.text, answer["defects"], MENDED)
            assert mapped(record.text) == mapped(expected, [WhitespaceMapper()])
    assert mended.keys() == MENDED


def test_the_demo_drops_what_must_not_get_through_and_nothing_else(records, demo_sources):
    for folder, source in demo_sources.items():
        of_source = [(answer, record) for answer, record in records if answer["file"].startswith(f"{folder}/")]
        for number, (_, record) in enumerate(of_source):
            if isinstance(record, Document):
                record.meta["number"] = number
        copies = copy.deepcopy([record for _, record in of_source])
        kept = {
            document.meta["number"] for document in cleaned(copies, source.build_steps(), Counts(), lambda record: None)
        }
        wanted = {number for number, (answer, _) in enumerate(of_source) if answer["expected"] != "reject"}
        assert kept == wanted


def test_counts_of_the_key_are_those_of_its_lines(corpus, answers):
    result = generate(corpus, seed=7, characters=CHARACTERS)
    for source, counts in result["sources"].items():
        lines = [answer for answer in answers if answer["source"] == source]
        assert counts["documents"] == len(lines)
        assert {name: counts.get(name, 0) for name in ("keep", "duplicate", "reject")} == {
            name: sum(answer["expected"] == name for answer in lines) for name in ("keep", "duplicate", "reject")
        }
        assert result["defects"][source] == Counter(defect["type"] for answer in lines for defect in answer["defects"])
    assert result["registers"] == Counter(answer["register"] for answer in answers if answer["register"])
    assert result["files"].keys() | {"key.json"} == hashes(corpus).keys()


def test_size_is_about_what_was_asked_for(records):
    found = sum(len(record.text) for _, record in records if isinstance(record, Document))
    assert 0.9 < found / CHARACTERS < 1.25


def test_ids_are_unique(answers):
    assert len({answer["id"] for answer in answers}) == len(answers)


def test_texts_look_like_japanese(answers):
    for answer in answers:
        if answer["clean"] and not answer["defects"]:
            letters = re.findall("[ぁ-ゖァ-ヺー々一-鿿]", answer["clean"])
            assert len(letters) > 0.7 * len("".join(answer["clean"].split()))
    text = "".join(answer["clean"] or "" for answer in answers)
    assert 0.3 < len(re.findall("[ぁ-ゖ]", text)) / len(text) < 0.7


def test_clean_texts_have_no_leftovers_of_the_grammars(answers):
    for answer in answers:
        assert not re.search(r"[{}§¶※《》［］｜\u3099-\u309c\uff61-\uff9f\u200b\ufffd]", answer["clean"] or "")


def test_copies_are_copies(answers, records):
    texts = {answer["id"]: record.text for answer, record in records if isinstance(record, Document)}
    copied = [
        (answer, defect) for answer in answers for defect in answer["defects"] if defect["type"] == "exact_duplicate"
    ]
    assert copied
    for answer, defect in copied:
        assert texts[answer["id"]] == texts[defect["of"]]
