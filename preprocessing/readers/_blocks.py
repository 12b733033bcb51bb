"""Documents of several lines, with an empty line between them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from preprocessing.document import Rejected

Line = tuple[int, bytes, bool]
"""Offset, bytes without the line end, and whether all of it is there (see `RawFile.lines`)."""
Other = TypeVar("Other", bound=Rejected)


def blocks(lines: Iterable[Line | Other], max_bytes: int) -> Iterator[Line | Other]:
    """Runs of lines up to an empty one, joined by \\n.

    Several empty lines in a row make no empty document, and the last document needs none. A run of more than
    `max_bytes` is incomplete and holds its first lines. Rejected lines pass through.
    """
    kept: list[bytes] = []
    start, size, complete = 0, 0, True
    for item in lines:
        if isinstance(item, Rejected):
            yield item
            continue
        position, line, whole = item
        if not line:
            if kept:
                yield start, b"\n".join(kept), complete
            kept, size, complete = [], 0, True
            continue
        if not kept:
            start = position
        size += len(line) + bool(kept)
        complete = complete and whole and size <= max_bytes
        if complete or not kept:
            kept.append(line)
    if kept:
        yield start, b"\n".join(kept), complete
