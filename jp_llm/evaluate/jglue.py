"""JGLUE's validation sets from local files, as JGLUE v1.3 publishes them (Kurihara, Kawahara and Shibata 2022).

No training sets are needed: solved examples come out of the validation set and are left out of what is scored.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jp_llm.runtime.errors import UserError

Doc = dict[str, Any]
JNLI_LABELS = ("entailment", "contradiction", "neutral")
NUM_CHOICES = 5
"""Of a question of JCommonsenseQA."""


@dataclass(frozen=True)
class Split:
    """One task's documents."""

    shots: list[Doc]
    """Solved examples for every prompt."""
    scored: list[Doc]


def find_file(folder: Path, task: str) -> Path:
    """The validation set of a task: `<task>-valid.json`, or `<task>-v1.3/valid-v1.3.json` of JGLUE's repository.

    Raises:
        UserError: neither is there.
    """
    places = [folder / f"{task}-valid.json", *sorted(folder.glob(f"{task}-v*/valid-v*.json"), reverse=True)]
    for place in places:
        if place.is_file():
            return place
    raise UserError(
        f"jglue: {folder} holds neither {task}-valid.json nor {task}-v1.3/valid-v1.3.json; name the folder `datasets` "
        "of a copy of JGLUE's repository"
    )


def read_docs(path: Path, task: str) -> list[Doc]:
    """Every document of a file, in order; each has a `group`: documents of one group tell of each other's answers.

    jcommonsenseqa: question, choices (5), label (place of the right one). jnli: sentence1, sentence2, label (its place
    in JNLI_LABELS). jsquad: title, context, question, answers (all that count as right).

    Raises:
        UserError: the file is not of JGLUE's format.
    """
    try:
        docs = list(_READERS[task](path))
    except OSError as error:
        raise UserError(f"jglue: {path} cannot be read: {error.strerror}") from error
    except _Wrong as error:
        raise UserError(f"jglue: {path}, {error}: not the format of {task} in JGLUE v1.3") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"jglue: {path} is not the format of {task} in JGLUE v1.3 ({error})") from error
    if not docs:
        raise UserError(f"jglue: {path} holds no questions")
    return docs


def divide(docs: list[Doc], num_fewshot: int, limit: int | None) -> Split:
    """Solved examples and scored documents, by the hashes of the documents: the same ones in every run.

    Examples are of different groups and take the labels in turn; no scored document shares a group with one.

    Raises:
        UserError: nothing is left to score.
    """
    ordered = sorted(docs, key=_hash)
    shots: list[Doc] = []
    by_label: dict[Any, list[Doc]] = defaultdict(list)
    for doc in ordered:
        by_label[doc.get("label")].append(doc)
    queues = [iter(by_label[label]) for label in sorted(by_label, key=str)]
    taken: set[Any] = set()
    while len(shots) < num_fewshot and queues:
        queue = queues.pop(0)
        for doc in queue:
            if doc["group"] not in taken:
                shots.append(doc)
                taken.add(doc["group"])
                queues.append(queue)
                break
    scored = [doc for doc in ordered if doc["group"] not in taken][:limit]
    if len(shots) < num_fewshot or not scored:
        raise UserError(f"num_fewshot: {num_fewshot} examples leave nothing to score of {len(docs)} questions")
    return Split(shots, scored)


def exact_match(answer: str, right: list[str]) -> float:
    """Whether an answer is one of the right ones, after JGLUE's normalisation: 1 or 0."""
    return float(any(_normalised(answer) == _normalised(each) for each in right))


def character_f1(answer: str, right: list[str]) -> float:
    """F1 of the characters that an answer shares with the most similar right one, 0 to 1.

    JGLUE's measure: SQuAD's F1 (Rajpurkar et al. 2016, section 6.1) with characters in the place of words.
    """
    return max(_f1(_normalised(answer), _normalised(each)) for each in right)


def _f1(answer: str, right: str) -> float:
    if not answer or not right:
        return float(answer == right)
    rest = list(right)
    same = 0
    for character in answer:
        if character in rest:
            rest.remove(character)
            same += 1
    return 2 * same / (len(answer) + len(right))


def _normalised(text: str) -> str:
    return " ".join(text.lower().split()).rstrip("。")


def _hash(doc: Doc) -> str:
    return hashlib.sha256(json.dumps(doc, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class _Wrong(Exception):
    """Says where."""


def _jcommonsenseqa(path: Path) -> Iterator[Doc]:
    for where, row in _lines(path):
        question, label = row.get("question"), row.get("label")
        choices = [row.get(f"choice{place}") for place in range(NUM_CHOICES)]
        _check(where, [question, *choices], label in range(NUM_CHOICES))
        yield {"group": row.get("q_id", question), "question": question, "choices": choices, "label": label}


def _jnli(path: Path) -> Iterator[Doc]:
    for where, row in _lines(path):
        _check(where, [row.get("sentence1"), row.get("sentence2")], row.get("label") in JNLI_LABELS)
        yield {
            # Captions of one picture make several pairs.
            "group": str(row.get("yjcaptions_id", row["sentence_pair_id"])).split("-")[0],
            "sentence1": row["sentence1"],
            "sentence2": row["sentence2"],
            "label": JNLI_LABELS.index(row["label"]),
        }


def _jsquad(path: Path) -> Iterator[Doc]:
    for article in json.loads(path.read_bytes())["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"].split("[SEP]")[-1].strip()
            for question in paragraph["qas"]:
                answers = [answer["text"] for answer in question["answers"]]
                _check(f"question {question['id']}", [article["title"], question["question"], *answers], bool(answers))
                yield {
                    "group": f"{article['title']}\n{context}",
                    "title": article["title"],
                    "context": context,
                    "question": question["question"],
                    "answers": answers,
                }


_READERS: dict[str, Callable[[Path], Iterator[Doc]]] = {
    "jcommonsenseqa": _jcommonsenseqa,
    "jnli": _jnli,
    "jsquad": _jsquad,
}


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise _Wrong(f"line {number} ({error})") from error
            if not isinstance(row, dict):
                raise _Wrong(f"line {number}")
            yield f"line {number}", row


def _check(where: str, texts: list[Any], known: bool) -> None:
    if not known or not all(isinstance(text, str) and text for text in texts):
        raise _Wrong(where)
