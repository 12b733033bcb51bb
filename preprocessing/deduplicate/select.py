"""The last step: what stays of a cleaned file goes to `documents/`. (The cleaned file goes once the mark is there.)"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preprocessing.counts import Counts
from preprocessing.deduplicate.batches import read_batches
from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.deduplicate.decisions import exact_duplicates, near_duplicates
from preprocessing.deduplicate.lines import Shortener
from preprocessing.deduplicate.tables import FILE_SHIFT, Workspace
from preprocessing.documents import CLEANED, DOCUMENTS, DocumentsFile, documents_file
from preprocessing.lazy_file import DOCUMENTS_LEVEL, LazyFile

START = 200
"""Characters of a document that the report shows."""


def select(
    config: DeduplicationConfig, folder: str, file: DocumentsFile, number: int, documents: int, shown: Sequence[int]
) -> dict[str, Any]:
    """Write what stays of a cleaned file.

    Args:
        number: place of the file in the list.
        documents: in the file.
        shown: documents, by place, whose beginnings the report wants.

    Returns:
        `counts`: of `Counts`; `starts`: number of a document -> its id and beginning; `documents`: the file that was
        written, as a list of a `DocumentsFile` or none.

    Raises:
        UserError: the cleaned file is lost or damaged; says how to make it again.
    """
    started = time.process_time()
    workspace = Workspace(folder)
    shortener = Shortener(config, folder, number, paragraphs=True)
    copies = exact_duplicates(workspace, number, documents)
    near = near_duplicates(workspace, number, documents)
    counts, starts = Counts(), {}
    target = Path(folder) / DOCUMENTS / Path(file.name).relative_to(CLEANED)
    wanted = set(shown)
    with LazyFile(target, DOCUMENTS_LEVEL) as output:
        for batch in read_batches(Path(folder) / file.name):
            left = shortener.shorten(batch.texts, batch.first)
            for place, (line, text, one) in enumerate(zip(batch.lines, batch.texts, left, strict=True)):
                ordinal = batch.first + place
                counts.documents_in += 1
                if ordinal in wanted:
                    starts[str(number << int(FILE_SHIFT) | ordinal)] = {"id": batch.ids[place], "start": text[:START]}
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
    written = [documents_file(Path(folder), file.source, file.split, target)] if output.exists else []
    return {"counts": counts.to_json(), "starts": starts, "documents": [asdict(file) for file in written]}


def _with_text(line: bytes, text: str) -> bytes:
    """The JSON object of a document with another text. Not orjson, which rounds integers beyond 64 bits in `meta`."""
    record = json.loads(line) | {"text": text}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
