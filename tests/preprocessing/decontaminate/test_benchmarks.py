import json

import pytest

from preprocessing.decontaminate.benchmarks import Item, read_items


def test_squad(tmp_path):
    questions = [{"question": "山は何か。", "answers": [{"text": "高い所"}, {"text": "高い所"}, {"text": "丘"}]}]
    data = {"data": [{"title": "山", "paragraphs": [{"context": "山 [SEP] 山は高い。", "qas": questions}]}]}
    path = tmp_path / "set.json"
    path.write_text(json.dumps(data, ensure_ascii=False))
    assert read_items(path, ()) == [
        Item("set.json#1", " 山は高い。"),
        Item("set.json#1", "山は何か。", ("高い所", "丘")),
    ]


def test_json_lines(tmp_path):
    records = [
        {"sentence1": "犬が走る。", "sentence2": "動物が走る。", "label": "entailment"},
        {"question": "海の水は?", "choice0": "甘い", "choice1": "塩辛い", "label": 1},
        {"question": "首都は?", "answers": {"text": ["東京", "東京都"]}, "other": 3},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n\n")
    assert read_items(path, ()) == [
        Item("set.jsonl#1", "犬が走る。"),
        Item("set.jsonl#1", "動物が走る。"),
        Item("set.jsonl#2", "海の水は?", ("塩辛い",)),
        Item("set.jsonl#3", "首都は?", ("東京", "東京都")),
    ]
    assert [item.text for item in read_items(path, ["sentence2"])] == ["動物が走る。"]
    with pytest.raises(ValueError, match="looked for body"):
        read_items(path, ["body"])


def test_lines_of_text(tmp_path):
    path = tmp_path / "set.txt"
    path.write_text("一つ目の問い\n\n二つ目の問い\n")
    assert read_items(path, ()) == [Item("set.txt#1", "一つ目の問い"), Item("set.txt#3", "二つ目の問い")]


def test_broken_records_are_named(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text('{"question": "問い"}\n{"question"\n')
    with pytest.raises(ValueError, match="line 2 is no JSON"):
        read_items(path, ())
    path.write_text('{"question": "問い"}\n[1]\n')
    with pytest.raises(ValueError, match="record 2 is no object"):
        read_items(path, ())
