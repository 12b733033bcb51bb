from collections import Counter

import pytest
from raw import document

from preprocessing.decontaminate.index import load_index
from preprocessing.mappers.contamination import ContaminationMapper
from preprocessing.text.keys import near_keys

ITEM = "湖のほとりに立つ古い灯台を最初に建てた職人の名前"


@pytest.fixture
def benchmark(tmp_path):
    path = tmp_path / "set.txt"
    path.write_text(f"{ITEM}\n別の問いがもう一つここに書いてある\n")
    return str(path)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"はじめの段落。\n問い：{ITEM}は？\nおわりの段落。", "はじめの段落。\nおわりの段落。"),
        (f"前。\n{ITEM[:8]}\n　{ITEM[8:16]}\n{ITEM[16:]}\n後。", "前。\n後。"),
        (f"が\u3099…①\n\n{ITEM}", "が\u3099…①\n"),
        ("はじめの段落。\nおわりの段落。", "はじめの段落。\nおわりの段落。"),
        (ITEM, ""),
    ],
)
def test_the_lines_of_an_item_are_cut(benchmark, text, left):
    tally = Counter()
    page = document(text)
    assert ContaminationMapper(benchmarks=(benchmark,)).map(page, tally) == left
    if text == left:
        assert not tally
        assert "benchmark_items" not in page.meta
    else:
        assert tally["items"] == 1
        assert tally["characters"] == len(text) - len(left)
        assert page.meta["benchmark_items"] == ["set.txt#1"]


LONG = "遠い海辺の町に伝わる古い物語のうち、嵐の夜に船を救った娘の名前と、その娘が灯した火の色を答えなさい"


@pytest.mark.parametrize(
    "copies",
    [
        (ITEM, ITEM),
        (LONG, LONG[:40], LONG[-40:]),
        (LONG + LONG, LONG[3:38]),
        (ITEM + "と" + LONG, LONG, ITEM),
        # The halves meet when the other item is cut.
        (LONG[:24], ITEM, LONG[24:]),
        (LONG[:24], ITEM[:12], LONG, ITEM[12:], LONG[24:]),
    ],
)
def test_all_copies_are_cut(tmp_path, copies):
    path = tmp_path / "set.txt"
    path.write_text(f"{ITEM}\n{LONG}\n")
    filler = "間に立つ普通の段落で、どの問いともかかわりがない。"
    apart = any(len(copy) < 30 and copy != ITEM for copy in copies)
    text = "\n".join([filler, ("\n" if apart else f"\n{filler}\n").join(copies), filler])
    tally = Counter({"paragraphs": 5})  # of documents before
    mapper = ContaminationMapper(benchmarks=(str(path),))
    left = mapper.map(document(text), tally)
    assert set(left.split("\n")) == {filler}
    assert left.count(filler) == (2 if apart else len(copies) + 1)
    assert tally["paragraphs"] == 5 + len(copies)
    assert tally["characters"] == len(text) - len(left)
    assert tally["items"] == len({ITEM, LONG} & set(copies)) or any(copy not in (ITEM, LONG) for copy in copies)
    again = Counter()
    assert mapper.map(document(left), again) == left
    assert not again


def test_every_place_of_an_item_is_found_once(tmp_path):
    path = tmp_path / "set.txt"
    path.write_text(f"{LONG}\n")
    index = load_index((str(path),), ())
    text = "前置き。" + "間。".join([LONG] * 50)
    hits = list(index.hits(near_keys([text]).codes, short=True, every=True))
    assert len(hits) == 50
    assert len(list(index.hits(near_keys([text]).codes, short=True))) == 1


def test_marking_leaves_the_text(benchmark):
    tally = Counter()
    page = document(f"問い：{ITEM}は？")
    assert ContaminationMapper(benchmarks=(benchmark,), action="mark").map(page, tally) == page.text
    assert tally == {"items": 1}
    assert page.meta["benchmark_items"] == ["set.txt#1"]


def test_short_items_are_only_marked(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text('{"question": "海の水の味は?", "answer": "塩辛い"}')
    tally = Counter()
    page = document("海の水の味は塩辛い。\n次の行。")
    assert ContaminationMapper(benchmarks=(str(path),)).map(page, tally) == page.text
    assert tally == {"short_items": 1}
    assert page.meta["benchmark_items"] == ["set.jsonl#1"]
