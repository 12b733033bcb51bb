"""JSON Lines as mC4 has them (`text`, `timestamp`, `url`), with an id: plain and compressed, with a few bad records."""

import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from typing import IO, Any

import zstandard

from preprocessing.sample.defects.urls import url
from preprocessing.sample.document import Defect, SampleDocument
from preprocessing.sample.formats.placed import Placed

FOLDER = "jsonl"
_BAD_AT = (5, 15)
_BAD_EVERY = 250
"""Records that are damaged: the 5th and the 15th of each file, then every 250th."""


COMPRESSIONS: Mapping[str, Callable[[IO[bytes]], AbstractContextManager[Any]]] = {
    "": nullcontext,
    # A fixed time and no name: the same content is the same bytes.
    ".gz": partial(gzip.GzipFile, "", "wb", 6, mtime=0),
    ".zst": lambda file: zstandard.ZstdCompressor(level=3).stream_writer(file),
    ".xz": partial(lzma.LZMAFile, mode="wb", preset=3),
}
"""Suffix after `.jsonl` -> a compressing stream over a file."""


def _truncated(line: str, record: dict[str, Any]) -> str:
    return line[: len(line) // 2]


def _lone_surrogate(line: str, record: dict[str, Any]) -> str:
    return json.dumps(record | {"text": "MARK" + record["text"]}, ensure_ascii=False).replace("MARK", "\\ud83d", 1)


def _no_text(line: str, record: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in record.items() if key != "text"}, ensure_ascii=False)


def _text_is_no_string(line: str, record: dict[str, Any]) -> str:
    return json.dumps(record | {"text": [record["text"]]}, ensure_ascii=False)


def _no_object(line: str, record: dict[str, Any]) -> str:
    return json.dumps([record["text"]], ensure_ascii=False)


_BAD: Mapping[str, Callable[[str, dict[str, Any]], str]] = {
    "json": _truncated,
    "lone_surrogate": _lone_surrogate,
    "no_text": _no_text,
    "text_is_no_string": _text_is_no_string,
    "no_object": _no_object,
}
"""Reason of the rejection -> how the record is damaged."""


def write(corpus: Path, documents: Iterable[SampleDocument], suffix: str, number: int, seed: int) -> Iterator[Placed]:
    """`jsonl/web-<number>.jsonl<suffix>`."""
    file = f"{FOLDER}/web-{number:02d}.jsonl{suffix}"
    (corpus / FOLDER).mkdir(parents=True, exist_ok=True)
    rng = Random(f"{seed}/{file}")
    reasons = sorted(_BAD)
    bad = number * len(_BAD_AT)
    with (corpus / file).open("wb") as raw, COMPRESSIONS[suffix](raw) as stream:
        ordinal = 0
        for document in documents:
            record = {"text": document.raw, "id": document.id, "timestamp": _timestamp(rng), "url": url(rng)}
            # Both ways to write a character occur in real data.
            line = json.dumps(record, ensure_ascii=rng.random() < 0.1)
            if ordinal in _BAD_AT or ordinal % _BAD_EVERY == _BAD_EVERY - 1:
                reason = reasons[bad % len(reasons)]
                bad += 1
                damaged = _BAD[reason](line, record)
                stream.write(f"{damaged}\n".encode())
                yield Placed(_rejected(file, ordinal, reason), file, ordinal)
                ordinal += 1
            stream.write(f"{line}\n".encode())
            yield Placed(document, file, ordinal, {"url": record["url"]})
            ordinal += 1


def _rejected(file: str, ordinal: int, reason: str) -> SampleDocument:
    defect = Defect("bad_record", details={"kind": reason})
    id = f"{file.removeprefix(f'{FOLDER}/')}#{ordinal}"
    return SampleDocument(id, "", "", "", None, expected="reject", reason=reason, defects=(defect,))


def _timestamp(rng: Random) -> str:
    date = f"{rng.randint(2014, 2024)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return f"{date}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}Z"
