import json

import pytest
from raw import document

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from preprocessing.config import SourceConfig
from preprocessing.filters.contaminated import ContaminatedFilter
from preprocessing.text.keys import near_key

FIRST = "山の頂上でお湯が沸く温度が低くなる理由"
SECOND = "朝に食べるパンへ最もよく塗られるもの"


@pytest.fixture
def benchmark(tmp_path):
    path = tmp_path / "quiz.jsonl"
    records = [{"question": FIRST, "answer": "気圧が低い"}, {"question": SECOND, "answer": "バター"}]
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records))
    return str(path)


def test_documents_with_several_items_are_dropped(benchmark):
    step = ContaminatedFilter(benchmarks=(benchmark,))
    assert step.files() == (benchmark,)
    assert step.reason(document(f"一、{FIRST}。二、{SECOND}。")) == "benchmark_items"
    assert step.reason(document(f"一、{FIRST}。一、{FIRST}。")) is None
    assert step.reason(document(f"{FIRST}は、気圧が低いからです。")) == "benchmark_items"
    assert step.reason(document("山の頂上は寒い。")) is None
    assert ContaminatedFilter(benchmarks=(benchmark,), minimum_items=1).reason(document(FIRST)) == "benchmark_items"


def test_problems_are_found_with_the_configuration(tmp_path, benchmark):
    (tmp_path / "bad.jsonl").write_text('{"body": "x"}')
    (tmp_path / "squad.json").write_text('{"data": [{}]}')
    files = [str(tmp_path / name) for name in ("bad.jsonl", "squad.json", "none.json")]
    values = {"reader": {"type": "text"}, "paths": ["x"], "steps": [{"type": "contaminated", "benchmarks": files}]}
    with pytest.raises(UserError) as caught:
        build(SourceConfig, values)
    problems = "\n".join(caught.value.problems)
    for expected in ("bad.jsonl: no texts found", "squad.json: not in the form of SQuAD", "none.json: No such file"):
        assert f"steps.0.benchmarks: {tmp_path}/{expected}" in problems
    values["steps"][0]["benchmarks"] = [benchmark]
    build(SourceConfig, values)


def test_real_evaluation_sets(real_data):
    """Every question of JGLUE is found in a page that quotes it, and none in a page about other things."""
    folder = real_data / "jglue"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    files = tuple(sorted(map(str, folder.glob("*.json"))))
    step = ContaminatedFilter(benchmarks=files, minimum_items=1)
    records = [json.loads(line) for line in (folder / "jcommonsenseqa-valid.json").read_text().splitlines()]
    assert len(records) == 1119
    for record in records:
        page = f"きょうの問題。「{record['question']}」さて、わかりますか。"
        # The others are too short to be sure of.
        expected = "benchmark_items" if len(near_key(record["question"])) >= 13 else None
        assert step.reason(document(page)) == expected
    squad = json.loads((folder / "jsquad-valid.json").read_text())
    contexts = [paragraph["context"] for article in squad["data"] for paragraph in article["paragraphs"]]
    for context in contexts[::50]:
        assert step.reason(document(f"引用する。{context[len(context) // 3 :]}")) == "benchmark_items"
    assert step.reason(document("昨日は庭の柿の木に登って、夕焼けを見ながら弟と歌をうたった。" * 3)) is None
