"""Evaluation sets: what they ask, read from the formats they come in.

{"data": [{"paragraphs": [{"context": ..., "qas": [{"question": ..., "answers": [{"text": ...}]}]}]}]}   SQuAD, JSQuAD
one JSON object per line, with texts and answers in fields                                  JNLI, JCommonsenseQA, ...
anything else: one text per line
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from jp_llm.runtime.errors import UserError

TEXT_FIELDS = ("question", "context", "passage", "sentence", "sentence1", "sentence2", "premise", "hypothesis", "text")
"""Looked for when no fields are named."""
ANSWER_FIELDS = ("answer", "answers", "output")


@dataclass(frozen=True)
class Item:
    """One text of an evaluation set."""

    name: str
    """`<file>#<record>`; the texts of one record share it."""
    text: str
    answers: tuple[str, ...] = ()


def items_of(path: str, fields: tuple[str, ...]) -> list[Item]:
    """The items of one file.

    Raises:
        UserError: a file cannot be read, or is no evaluation set.
    """
    try:
        return read_items(Path(path), fields)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason: Any = error if isinstance(error, ValueError) else f"not in the form of SQuAD ({error!r})"
        raise UserError(f"{path}: {reason}") from error


def read_items(path: Path, fields: Sequence[str]) -> list[Item]:
    """All texts of an evaluation set.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file; the message says where.
    """
    data = path.read_bytes()
    if path.suffix not in (".json", ".jsonl"):
        lines = data.decode().splitlines()
        return [Item(f"{path.name}#{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    try:
        nested = orjson.loads(data)
    except orjson.JSONDecodeError:
        nested = None
    if isinstance(nested, dict) and isinstance(nested.get("data"), list):
        items = list(_of_squad(path.name, nested["data"]))
    else:
        records = nested if isinstance(nested, list) else list(_records(data))
        items = [
            item for number, record in enumerate(records, 1) for item in _of_record(path.name, number, record, fields)
        ]
    if not items:
        looked = ", ".join(fields or TEXT_FIELDS)
        raise ValueError(f"no texts found (looked for {looked}); name the fields of its texts in `fields`")
    return items


def _records(data: bytes) -> Iterator[Any]:
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON: {error}") from error


def _of_squad(file: str, articles: Sequence[Any]) -> Iterator[Item]:
    number = 0
    for article in articles:
        for paragraph in article["paragraphs"]:
            number += 1
            # JSQuAD writes the title before the paragraph.
            yield Item(f"{file}#{number}", paragraph["context"].rpartition("[SEP]")[2])
            for question in paragraph["qas"]:
                answers = tuple(dict.fromkeys(answer["text"] for answer in question["answers"]))
                yield Item(f"{file}#{number}", question["question"], answers)


def _of_record(file: str, number: int, record: Any, fields: Sequence[str]) -> Iterator[Item]:
    if not isinstance(record, dict):
        raise ValueError(f"record {number} is no object")
    answers = tuple(_strings([record.get(field) for field in ANSWER_FIELDS]))
    label = record.get("label")
    if not answers and isinstance(choice := record.get(f"choice{label}"), str):
        answers = (choice,)
    for field in fields or TEXT_FIELDS:
        for text in _strings(record.get(field)):
            yield Item(f"{file}#{number}", text, answers if field not in ("context", "passage") else ())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
    elif isinstance(value, dict):
        yield from _strings(value.get("text"))
