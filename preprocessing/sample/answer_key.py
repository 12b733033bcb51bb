"""The answer key: `answer_key.jsonl`, one line per document or bad record, and the counts for `key.json`."""

import json
from collections import Counter
from pathlib import Path
from typing import IO, Any

from preprocessing.sample.formats.placed import Placed

DOCUMENTS = "answer_key.jsonl"
SUMMARY = "key.json"


class AnswerKey:
    """Writes the lines and counts them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._sources: dict[str, Counter[str]] = {}
        self._defects: dict[str, Counter[str]] = {}
        self._registers: Counter[str] = Counter()

    def add(self, source: str, placed: Placed) -> None:
        """One document of `source`."""
        document = placed.document
        record: dict[str, Any] = {
            "id": document.id,
            "source": source,
            "file": placed.file,
            "ordinal": placed.ordinal,
            "register": document.register,
            "expected": document.expected,
            "reason": document.reason,
            "clean": document.clean,
            "defects": [defect.to_json() for defect in document.defects],
            **placed.details,
        }
        self._stream.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
        counts = self._sources.setdefault(source, Counter())
        counts["documents"] += 1
        counts[document.expected] += 1
        counts["characters"] += len(document.raw or document.clean or "")
        self._defects.setdefault(source, Counter()).update(defect.type for defect in document.defects)
        if document.register:
            self._registers[document.register] += 1

    def counts(self) -> dict[str, Any]:
        """Per source: documents, by what is expected of them, characters, planted defects; per register: documents."""
        return {
            "sources": {source: dict(counts) for source, counts in self._sources.items()},
            "defects": {source: dict(sorted(counts.items())) for source, counts in self._defects.items()},
            "registers": dict(sorted(self._registers.items())),
        }


def summary(seed: int, characters: int, generator: str, key: AnswerKey, corpus: Path) -> dict[str, Any]:
    """Content of `key.json`; `generator` is the fingerprint of the program that made the corpus."""
    files = sorted(path for path in corpus.rglob("*") if path.is_file())
    return {
        "format": 1,
        "generator": generator,
        "seed": seed,
        "characters": characters,
        **key.counts(),
        "files": {path.relative_to(corpus).as_posix(): path.stat().st_size for path in files},
    }
