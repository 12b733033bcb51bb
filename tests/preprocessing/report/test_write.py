import json
import re
from collections import Counter

import pytest
from parsed_html import ParsedHtml
from raw import config

from jp_llm.runtime.files import write_json
from preprocessing.counts import Counts
from preprocessing.report.data import funnel_of
from preprocessing.report.write import write_reports
from preprocessing.run import run
from preprocessing.summary import SourceSummary

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details><iframe src=//example.invalid></iframe>",
    "&lt;script&gt; ]]> <!-- \x00\x1b",
    "<ｓｃｒｉｐｔ>短い",
]
LONG = "これは報告のために残る、十分に長い一行です。"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A cleaned corpus, its hostile documents dropped or changed."""
    folder = tmp_path_factory.mktemp("report")
    lines = [f"{text}{number}" for number in range(12) for text in (*HOSTILE, LONG, LONG + HOSTILE[0] + "ｶﾞ" * 40)]
    (folder / "a.txt").write_text("\n".join(lines) + "\n")
    steps = [{"type": "unicode"}, {"type": "length", "minimum": 20}, {"type": "length", "maximum": 100}]
    run(config(folder / "out", [folder / "a.txt"], steps=steps, unit_bytes=1500))
    return folder / "out"


@pytest.fixture(scope="module")
def report(finished):
    return json.loads((finished / "report.json").read_text())


def test_the_funnel_adds_up(report):
    source = report["sources"]["web"]
    read, *steps, clean = source["funnel"]
    assert (read["documents_in"], read["dropped"]) == (84, {"binary": {"documents": 12}})
    assert read["documents_out"] == source["documents_in"] == 72
    assert [step["step"] for step in steps] == ["unicode", "length", "length#2", "empty"]
    for before, after in zip([read, *steps], [*steps, None], strict=True):
        if after:
            assert (before["documents_out"], before["characters_out"]) == (
                after["documents_in"],
                after["characters_in"],
            )
    assert (clean["documents_in"], clean["documents_out"]) == (72, steps[-1]["documents_out"])
    assert clean["characters_out"] == steps[-1]["characters_out"] == source["characters"]
    assert clean["bytes_out"] == source["bytes"]
    lost = sum(dropped["bytes"] for step in steps for dropped in step["dropped"].values())
    assert 0 < lost < read["bytes_out"] - clean["bytes_out"] + steps[0]["characters_removed"]
    assert {"length.too_short", "length.too_long", "unicode"} <= source["samples"].keys()
    assert all(len(samples) <= 20 for samples in source["samples"].values())


def test_histograms_count_every_document(report):
    lengths = report["sources"]["web"]["histograms"]["lengths"]
    assert sum(lengths["read"].values()) == 72
    assert sum(lengths["kept"].values()) == sum(report["total"]["documents_out"].values())
    assert set(lengths["kept"]) <= {"31", "63", "127"}


def test_no_text_of_a_document_becomes_markup(finished):
    page = (finished / "report.html").read_text()
    parsed = ParsedHtml(page)
    tags = Counter(tag for tag, _ in parsed.tags)
    assert tags.keys() <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div", "section", "table", "thead"),
        *("tbody", "tr", "th", "td", "details", "summary", "pre", "svg", "rect", "text"),
    }
    attributes = {name for _, values in parsed.tags for name in values}
    assert not any(name.startswith("on") or name in ("src", "href") for name in attributes)
    assert HOSTILE[0] in "".join(parsed.text)
    assert "default-src 'none'" in page
    assert not re.search("[\x00\x1b]", page)


def test_the_number_of_units_and_workers_changes_no_sample_and_no_count(tmp_path, finished, report):
    source = finished.parent / "a.txt"
    steps = [{"type": "unicode"}, {"type": "length", "minimum": 20}, {"type": "length", "maximum": 100}]
    whole = config(tmp_path / "out", [source], steps=steps, num_workers=2)
    run(whole)
    one, other = report["sources"]["web"], json.loads((tmp_path / "out" / "report.json").read_text())["sources"]["web"]
    for key in ("samples", "histograms", "dropped", "dropped_characters", "changed", "documents_out", "bytes"):
        assert one[key] == other[key]


def test_written_again_it_is_the_same(finished, tmp_path):
    before = [(finished / name).read_bytes() for name in ("report.json", "report.html")]
    again = config(
        finished,
        [finished.parent / "a.txt"],
        steps=[{"type": "unicode"}, {"type": "length", "minimum": 20}, {"type": "length", "maximum": 100}],
        unit_bytes=1500,
    )
    run(again)
    assert before == [(finished / name).read_bytes() for name in ("report.json", "report.html")]


def deduplicated():
    summary = SourceSummary()
    summary.counts = Counts(documents_in=10, characters_in=100, bytes_in=300, characters=90, bytes=270, cpu_seconds=2.0)
    summary.counts.documents_out.update({"train": 8, "validation": 1})
    summary.counts.dropped["empty"] = 1
    summary.deduplicated = Counts(documents_in=9, characters=50, bytes=150, cpu_seconds=1.0)
    summary.deduplicated.documents_out["train"] = 5
    summary.deduplicated.dropped["near_duplicate"] = 4
    return summary


def test_deduplication_is_the_end_of_the_funnel():
    last = funnel_of(deduplicated())[-1]
    assert (last["stage"], last["documents_in"], last["documents_out"]) == ("deduplicate", 9, 5)
    assert (last["characters_in"], last["characters_out"]) == (90, 50)
    assert last["dropped"] == {"near_duplicate": {"documents": 4}}


def test_clusters_of_duplicates_are_shown_whatever_else_is_in_their_file(tmp_path):
    first, second = {"id": "web/a#0", "start": "同"}, {"id": "web/a#1", "start": HOSTILE[0]}
    pair = {"dropped": second, "kept": first, "similarity": 0.9}
    near = {
        "pairs": [{"dropped": "web", "kept": HOSTILE[1], "documents": 4}],
        "sizes": [{"from": 2, "groups": 3}, {"from": 4, "groups": 1}],
        "sample": [pair],
        "clusters": 4,
        "sample_kept": "no list",
        "largest": [{"size": 5, "members": [{"id": "web/a#7", "start": HOSTILE[2]}]}],
    }
    found = {"settings": {}, "frequent_lines": 1234, "exact": None, "near": near, "more": None}
    (tmp_path / "deduplication.json").write_text(json.dumps(found))
    for mark, seconds in (
        ("clean/web-00000", 2.0),
        ("deduplicate/near/near-0", 1.0),
        ("deduplicate/select/web-0", 0.5),
    ):
        write_json(tmp_path / "marks" / f"{mark}.json", {"result": {}, "cpu_seconds": seconds})
    write_reports(tmp_path, config(tmp_path, ["a"]), {"web": deduplicated()})
    parsed = ParsedHtml((tmp_path / "report.html").read_text())
    assert not {"script", "iframe", "img"} & {tag for tag, _ in parsed.tags}
    shown = "|".join(parsed.text)
    hostile = [HOSTILE[1], f"start: {HOSTILE[2]}", f"start: {HOSTILE[0]}"]
    for expected in ("1,234 different lines", "from 4: 1", "size: 5", "similarity: 0.9", *hostile):
        assert expected in shown
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["duplicates"] == found
    assert report["core_hours"] == {"clean": 2 / 3600, "deduplicate": 1.5 / 3600}


def test_a_name_that_begins_like_another_keeps_its_own_samples(tmp_path):
    text = [{"type": "length", "minimum": 5}]
    (tmp_path / "a.txt").write_text("甲\n十分に長い一行\n")
    (tmp_path / "b.txt").write_text("乙\n十分に長い一行\n")
    made = config(tmp_path / "out", [tmp_path / "a.txt"], steps=text)
    sources = {
        name: made.sources["web"].model_copy(update={"paths": (str(tmp_path / file),)})
        for name, file in (("web", "a.txt"), ("web-2", "b.txt"))
    }
    run(made.model_copy(update={"sources": sources}))
    found = json.loads((tmp_path / "out" / "report.json").read_text())["sources"]
    samples = {name: source["samples"]["length.too_short"] for name, source in found.items()}
    assert {name: [sample["text"] for sample in kept] for name, kept in samples.items()} == {
        "web": ["甲"],
        "web-2": ["乙"],
    }
