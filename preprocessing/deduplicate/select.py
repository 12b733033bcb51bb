"""The last step: what stays of a cleaned file goes to `documents/`, and the cleaned file goes."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zstandard

from jp_llm.runtime.files import atomic_writer, fsync_directory, read_json, write_json
from preprocessing.counts import Counts
from preprocessing.deduplicate.batches import read_batches
from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.deduplicate.decisions import exact_duplicates, near_duplicates
from preprocessing.deduplicate.lines import Shortener
from preprocessing.deduplicate.tables import Workspace
from preprocessing.documents import CLEANED, DOCUMENTS, DocumentsFile

START = 200
"""Characters of a document that the report shows."""
_ZSTD_LEVEL = 3


def select(
    config: DeduplicationConfig, folder: str, file: DocumentsFile, number: int, documents: int, shown: Sequence[int]
) -> dict[str, Any]:
    """Write what stays of a cleaned file, then remove it.

    Args:
        number: place of the file in the list.
        documents: in the file.
        shown: documents, by place, whose beginnings the report wants.

    Returns:
        `counts`: of `Counts`; `starts`: number of a document -> its id and beginning.

    Raises:
        UserError: the cleaned file is lost or damaged; says how to make it again.
    """
    source = Path(folder) / file.name
    # Written before the cleaned file is removed: a run that was killed in between finds all it has to know.
    result = Workspace(folder).path("selected", number, "json")
    if not result.exists():
        write_json(result, _selected(config, folder, file, number, documents, set(shown)))
    if source.exists():
        source.unlink()
        fsync_directory(source.parent)
    value: dict[str, Any] = read_json(result)
    return value


def _selected(
    config: DeduplicationConfig, folder: str, file: DocumentsFile, number: int, documents: int, shown: set[int]
) -> dict[str, Any]:
    started = time.process_time()
    workspace = Workspace(folder)
    shortener = Shortener(config, folder, number, paragraphs=True)
    copies = exact_duplicates(workspace, number, documents)
    near = near_duplicates(workspace, number, documents)
    counts, starts = Counts(), {}
    target = Path(folder) / DOCUMENTS / Path(file.name).relative_to(CLEANED)
    target.unlink(missing_ok=True)
    with _Output(target) as output:
        for batch in read_batches(Path(folder) / file.name):
            left = shortener.shorten(batch.texts, batch.first)
            for place, (line, text, one) in enumerate(zip(batch.lines, batch.texts, left, strict=True)):
                ordinal = batch.first + place
                counts.documents_in += 1
                if ordinal in shown:
                    starts[str(number << 32 | ordinal)] = {"id": batch.ids[place], "start": text[:START]}
                reason = "near_duplicate" if near[ordinal] else one.reason
                if copies[ordinal]:
                    reason = "exact_duplicate"
                if reason:
                    counts.dropped[reason] += 1
                    continue
                if one.text != text:
                    line = _with_text(line, one.text)
                output.write(line)
                counts.documents_out[file.split] += 1
                counts.characters += len(one.text)
                counts.bytes += len(one.text.encode())
                counts.changed["frequent_line"] += one.frequent_lines
                counts.changed["repeated_paragraph"] += one.repeated_paragraphs
    counts.changed = +counts.changed
    counts.cpu_seconds = time.process_time() - started
    return {"counts": counts.to_json(), "starts": starts}


def _with_text(line: bytes, text: str) -> bytes:
    """The JSON object of a document with another text. Not orjson, which rounds integers beyond 64 bits in `meta`."""
    record = json.loads(line) | {"text": text}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class _Output:
    """A file of documents, which exists only if there are some."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._stream: Any = None

    def __enter__(self) -> "_Output":
        return self

    def write(self, line: bytes) -> None:
        if self._stream is None:
            file = self._stack.enter_context(atomic_writer(self._path))
            compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
            self._stream = self._stack.enter_context(compressor.stream_writer(file, closefd=False))
        self._stream.write(line)

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
