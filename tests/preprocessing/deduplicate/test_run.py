import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import orjson
import pytest
import zstandard
from duplicates import MENU, RULES, config, sentences, texts
from raw import contents

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from preprocessing.config import CorpusConfig
from preprocessing.counts import Counts
from preprocessing.deduplicate import select
from preprocessing.run import run

ROOT = Path(__file__).resolve().parents[3]


def documents(output, source):
    found = []
    for split in ("train", "validation"):
        for path in sorted((output / "documents" / source).glob(f"{split}-*.jsonl.zst")):
            data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
            found += [orjson.loads(line)["text"] for line in data.splitlines()]
    return found


def test_what_occurs_twice_stays_once(finished):
    written = texts()
    first, second = documents(finished, "a"), documents(finished, "b")
    expected = [text.removeprefix(f"{MENU}\n") for text in written["a"]]
    assert sorted(first) == sorted(expected)
    paragraphs = [text for text in written["b"][23:26]]
    paragraph = paragraphs[0].partition("\n")[0]
    assert sum(paragraph in text for text in second) == 1
    assert second.count("短い文。") == 1
    assert MENU not in "".join(first + second)
    assert sorted(set(second) & set(written["b"][:20])) == sorted(written["b"][:20])
    counts = json.loads((finished / "deduplication.json").read_text())["sources"]["b"]
    dropped = counts["dropped"]
    assert dropped["exact_duplicate"] == 3
    assert dropped["near_duplicate"] + dropped.get("lost_too_much", 0) >= 2
    assert dropped["too_short"] == 1
    assert counts["changed"]["repeated_paragraph"] >= 1
    assert sum(counts["documents_out"].values()) == len(second)
    assert counts["characters"] == sum(map(len, second))
    assert counts["documents_in"] == 32 == len(second) + sum(dropped.values())


def test_counts_of_both_stages_stand_in_the_report(finished):
    report = json.loads((finished / "deduplication.json").read_text())
    total = Counts()
    for counts in report["sources"].values():
        total.add(Counts.from_json(counts))
    assert total.to_json() == report["total"]
    assert report["frequent_lines"] == 1
    assert report["total"]["changed"]["frequent_line"] == 12
    assert {(pair["dropped"], pair["kept"]) for pair in report["exact"]["pairs"]} == {("b", "a"), ("b", "b")}
    near = report["near"]["sample"]
    assert near
    assert all(pair["similarity"] >= 0.6 for pair in near)
    wanted = texts()["a"][2]
    assert any(pair["kept"]["start"] == wanted[: select.START] for pair in near)
    assert all(pair["dropped"]["id"].startswith("b/") for pair in near)
    assert sum(group["groups"] for group in report["exact"]["sizes"]) == 3
    assert report["near"]["clusters"] == len(report["near"]["largest"])


def test_other_fields_are_not_touched(finished):
    for path in sorted((finished / "documents").rglob("*.zst")):
        data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
        for line in data.splitlines():
            record = json.loads(line)
            assert list(record) == ["id", "source", "text", "meta"]
            assert record["id"].startswith(f"{path.parent.name}/")
            assert record["meta"]["n"] in (10**20, 10**20 + 1, 10**20 + 2)


def test_cleaned_files_and_tables_are_gone(finished):
    assert not list((finished / "cleaned").rglob("*.zst"))
    left = {path.parent.name for path in (finished / "deduplicate").rglob("*.bin")}
    assert left == {"exact_duplicates", "files", "frequent_lines", "near_duplicates", "repeated_paragraphs"}


def test_a_finished_folder_is_only_summed_up(finished, raw, capsys):
    before = contents(finished)
    run(config(finished, raw))
    assert capsys.readouterr().err == ""
    assert contents(finished) == before


@pytest.mark.parametrize("changes", [{"num_workers": 2}, {"deduplicate": RULES | {"memory_bytes": 6_000}}])
def test_neither_workers_nor_memory_change_a_byte(tmp_path, finished, raw, changes):
    run(config(tmp_path / "out", raw, **changes))
    assert contents(tmp_path / "out") == contents(finished)
    one, two = (json.loads((output / "deduplication.json").read_text()) for output in (finished, tmp_path / "out"))
    for report in (one, two):
        report["settings"]["memory_bytes"] = 0
        for counts in (report["total"], *report["sources"].values()):
            counts["cpu_seconds"] = 0
    assert one == two
    marks = tmp_path / "out" / "marks" / "deduplicate" / "exact-merge"
    assert (len(list(marks.glob("*.json"))) > 1) == ("deduplicate" in changes)


STEPS = {"exact", "exact-merge", "lines", "near", "near-merge", "clusters", "paragraphs", "paragraphs-merge", "select"}


def test_a_run_that_ended_in_any_step_goes_on_to_the_same_bytes(tmp_path, finished, raw, monkeypatch):
    """The folder as it was when each step had its first mark is copied, and the copy continued."""
    output, copies = tmp_path / "out", {}
    replace = os.replace

    def copied_after(source, target):
        replace(source, target)
        step = Path(target).parent.name
        if Path(target).parent.parent == output / "marks" / "deduplicate" and step not in copies:
            copies[step] = shutil.copytree(output, tmp_path / step)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", copied_after)
        run(config(output, raw))
    assert copies.keys() >= STEPS
    for step, copy in copies.items():
        run(config(copy, raw))
        assert contents(copy) == contents(finished), step


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path, finished, raw):
    output = tmp_path / "out"
    script = f"""
        import sys
        sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT / "tests" / "helpers")!r}, {str(ROOT)!r}]
        from test_run import *
        run(config({str(output)!r}, Path({str(raw)!r})))
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, stderr=subprocess.DEVNULL
    )
    marks = output / "marks" / "deduplicate" / "near"
    deadline = time.monotonic() + 60
    while not (marks.is_dir() and any(marks.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert marks.is_dir()
    run(config(output, raw))
    assert contents(output) == contents(finished)


def test_a_cleaned_file_that_is_lost_is_named(tmp_path, raw, finished):
    output = tmp_path / "out"
    run(config(output, raw, stages=["clean"]))
    lost = sorted((output / "cleaned" / "b").glob("train-*"))[0]
    whole = lost.read_bytes()
    lost.write_bytes(whole[:-3])
    with pytest.raises(UserError, match=r"b/train-00000-000\.jsonl\.zst: damaged since"):
        run(config(output, raw))
    lost.unlink()
    message = (
        r"cleaned/b/train-00000-000\.jsonl\.zst: lost since .* delete .*marks/clean/b-00000\.json and run the same"
    )
    with pytest.raises(UserError, match=message):
        run(config(output, raw))
    (output / "marks" / "clean" / "b-00000.json").unlink()
    run(config(output, raw))
    assert contents(output) == contents(finished)


def test_lost_documents_can_be_made_again(tmp_path, raw, finished):
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    lost = sorted((output / "documents" / "b").glob("train-00000-*"))[0]
    lost.unlink()
    (output / "marks" / "clean" / "b-00000.json").unlink()
    run(config(output, raw))
    assert contents(output) == contents(finished)
    assert not list((output / "cleaned").rglob("*.zst"))


@pytest.mark.parametrize(
    "rules",
    [
        {"exact": False, "lines": None, "paragraphs": None, "near": None},
        {"lines": None, "paragraphs": None, "near": None},
        {"exact": False, "paragraphs": None, "near": None, "lines": {"minimum_documents": 10}},
    ],
)
def test_rules_can_be_left_out(tmp_path, raw, rules):
    run(config(tmp_path / "out", raw, deduplicate=rules))
    report = json.loads((tmp_path / "out" / "deduplication.json").read_text())
    dropped = report["total"]["dropped"]
    assert (
        dropped
        == {
            0: {},
            1: {"exact_duplicate": 3},
            2: {"too_short": 1},
        }[0 if len(rules) == 4 and not rules["lines"] else 1 if "exact" not in rules else 2]
    )
    assert report["near"] is None


def test_a_copy_of_a_validation_document_loses_to_the_first_in_the_list(tmp_path):
    """Nothing that is held out may stand among the training documents too."""
    rng = random.Random(3)
    pages = [sentences(rng, 8) for _ in range(200)]
    nearly = [page[:-2] + "違。" for page in pages]
    lines = [orjson.dumps({"text": text}) for text in pages + nearly]
    (tmp_path / "a-0.jsonl").write_bytes(b"\n".join(lines))
    wanted = config(tmp_path / "out", tmp_path, deduplicate={}, validation_fraction=0.3, unit_bytes=1 << 20)
    run(wanted.model_copy(update={"sources": {"a": wanted.sources["a"]}}))
    kept = documents(tmp_path / "out", "a")
    assert len(kept) == 200
    assert len({text[:-2] for text in kept}) == 200


def test_presets():
    values = {"deduplicate": {"near": {"preset": "swallow", "minimum_similarity": 0.8}}}
    near = config("out", Path("raw"), **values).deduplicate.near
    assert (near.bands, near.rows, near.ngram, near.minimum_similarity) == (40, 20, 5, 0.8)
    again = build(CorpusConfig, json.loads(json.dumps(config("out", Path("raw"), **values).model_dump(mode="json"))))
    assert again.deduplicate.near == near
    with pytest.raises(UserError, match="preset"):
        config("out", Path("raw"), deduplicate={"near": {"preset": "sparrow"}})
