"""Files of JGLUE, the choice of examples, and its measures."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jglue_files import JNLI, write_jglue

from jp_llm.evaluate.config import JGLUE_TASKS
from jp_llm.evaluate.jglue import character_f1, divide, exact_match, find_file, read_docs
from jp_llm.runtime.errors import UserError


@pytest.fixture
def jglue(tmp_path: Path) -> Path:
    return write_jglue(tmp_path / "jglue")


def test_documents_of_every_task(jglue: Path) -> None:
    question = read_docs(find_file(jglue, "jcommonsenseqa"), "jcommonsenseqa")[2]
    assert (question["question"], question["choices"][question["label"]]) == ("本を借りる所は？", "図書館")
    pairs = read_docs(find_file(jglue, "jnli"), "jnli")
    assert [pair["label"] for pair in pairs] == [0, 1, 2, 0, 1, 2]
    answer = read_docs(find_file(jglue, "jsquad"), "jsquad")[0]
    assert answer["context"] == "川の水は海へ行く。"
    assert answer["answers"] == ["海", "海へ"]


def test_the_layout_of_the_repository_is_found_too(jglue: Path) -> None:
    for version in ("v1.1", "v1.3"):
        (jglue / f"jnli-{version}").mkdir()
        (jglue / f"jnli-{version}" / f"valid-{version}.json").touch()
    (jglue / "jnli-valid.json").unlink()
    assert find_file(jglue, "jnli").name == "valid-v1.3.json"
    with pytest.raises(UserError, match=r"holds neither jsquad-valid\.json nor jsquad-v1\.3"):
        find_file(jglue / "jnli-v1.1", "jsquad")


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("jcommonsenseqa", '{"q_id": 1, "question": "春", "choice0": "a", "label": 0}', "line 1: not the format"),
        ("jnli", '{"sentence_pair_id": "0", "sentence1": "a", "sentence2": "b", "label": "maybe"}', "line 1: not the"),
        ("jnli", "[1]", "line 1: not the format of jnli"),
        ("jnli", '{"sentence', "line 1 .*: not the format of jnli"),
        ("jnli", "", "holds no questions"),
        ("jsquad", '{"version": "v1.3"}', "is not the format of jsquad"),
        ("jsquad", "[]", "is not the format of jsquad"),
        ("jsquad", "no json", "is not the format of jsquad"),
        (
            "jsquad",
            json.dumps(
                {
                    "data": [
                        {
                            "title": "a",
                            "paragraphs": [{"context": "c", "qas": [{"id": "q7", "question": "?", "answers": []}]}],
                        }
                    ]
                }
            ),
            "question q7: not the format",
        ),
    ],
)
def test_a_file_of_another_format_is_refused(task: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / f"{task}-valid.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_docs(find_file(tmp_path, task), task)


def test_examples_are_fixed_take_labels_in_turn_and_are_not_scored(jglue: Path) -> None:
    docs = read_docs(find_file(jglue, "jnli"), "jnli")
    split = divide(docs, 3, None)
    assert sorted(doc["label"] for doc in split.shots) == [0, 1, 2]
    assert not [doc for doc in split.scored if doc in split.shots]
    assert len(split.scored) == len(JNLI) - 3
    assert divide(docs[::-1], 3, None) == split
    assert divide(docs, 3, 2).scored == split.scored[:2]
    assert len(divide(docs, 0, None).scored) == len(JNLI)
    with pytest.raises(UserError, match="6 examples leave nothing to score of 6"):
        divide(docs, 6, None)


def test_what_shares_a_group_with_an_example_is_not_scored(jglue: Path) -> None:
    docs = [doc | {"group": number % 3} for number, doc in enumerate(read_docs(find_file(jglue, "jnli"), "jnli"))]
    split = divide(docs, 2, None)
    assert len({doc["group"] for doc in split.shots}) == 2
    assert len(split.scored) == 2
    assert not {doc["group"] for doc in split.scored} & {doc["group"] for doc in split.shots}


def test_measures_by_hand() -> None:
    assert exact_match(" 海。", ["山", "海"]) == 1
    assert exact_match("海へ", ["海"]) == 0
    assert character_f1("海へ", ["海"]) == pytest.approx(2 / 3)
    assert character_f1("ABC", ["山", "abc"]) == 1
    assert character_f1("", ["海"]) == 0
    assert character_f1("山山", ["山川山"]) == pytest.approx(4 / 5)


@given(st.text(alphabet="山川海", max_size=8), st.text(alphabet="山川海", min_size=1, max_size=8))
def test_f1_is_squads_over_characters(answer: str, right: str) -> None:
    same = sum((Counter(answer) & Counter(right)).values())
    precision, recall = (same / len(answer) if answer else 0.0), same / len(right)
    expected = 2 * precision * recall / (precision + recall) if same else 0.0
    assert character_f1(answer, [right]) == pytest.approx(expected)


def test_the_real_validation_sets(real_data: Path) -> None:
    if not (real_data / "jglue").is_dir():
        pytest.skip(f"{real_data / 'jglue'} is not there")
    docs = {task: read_docs(find_file(real_data / "jglue", task), task) for task in JGLUE_TASKS}
    assert {task: len(found) for task, found in docs.items()} == {
        "jcommonsenseqa": 1119,
        "jnli": 2434,
        "jsquad": 4442,
    }
    assert all(exact_match(answer, doc["answers"]) for doc in docs["jsquad"] for answer in doc["answers"])
    for task, found in docs.items():
        split = divide(found, 3, 200)
        assert len(split.scored) == 200
        assert len({json.dumps(doc) for doc in split.scored + split.shots}) > 200, task
