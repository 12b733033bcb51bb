from collections import Counter

import pytest
from raw import document

from preprocessing.mappers.contamination import ContaminationMapper

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
