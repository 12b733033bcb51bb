"""Where a large input may be cut so that each part can be read alone."""

import bz2
import re
from collections.abc import Generator
from typing import BinaryIO

from preprocessing.step import CutAt

_LINE_BYTES = 1 << 20
_WINDOW_BYTES = 1 << 20
_BZ2_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
"""A bz2 stream with at least one block begins so: `BZh`, its level, the magic of a block."""
_BZ2_BLOCK_BYTES = 1 << 20
"""More than the first block of a stream, compressed."""
_FIRST_BYTES = 4096
_SHOWN_BYTES = 64
_MOST_CANDIDATES = 256
"""A file with more streams before the first page is none of streams of pages: looking at each may cost a block."""
SEARCH_BYTES = 64 << 20
"""A bz2 file without a cut in so many bytes is none of many streams."""


def rest_of_record(stream: BinaryIO, cut_at: CutAt) -> Generator[bytes, None, bytes]:
    """Bytes from the midst of a record up to the next one, piecewise: a line may be as long as the file.

    Returns:
        What was read of the next record: the line `<page>`, or nothing.
    """
    at_start = False
    while chunk := stream.readline(_LINE_BYTES):
        if cut_at == "page" and at_start and chunk.strip() == b"<page>":
            return chunk
        blank = at_start and not chunk.strip(b"\r\n")
        at_start = chunk.endswith(b"\n")
        yield chunk
        if at_start and (cut_at == "line" or (cut_at == "blank_line" and blank)):
            return b""
    return b""


def record_start(file: BinaryIO, position: int, cut_at: CutAt) -> int:
    """Offset of the first record that begins at `position` or later; the end of the file if there is none."""
    file.seek(position - 1)
    return position - 1 + sum(map(len, rest_of_record(file, cut_at)))


def page_stream_start(file: BinaryIO, position: int, end: int) -> int | None:
    """Offset, from `position` up to `end`, of the first bz2 stream that begins with a page of a MediaWiki dump.

    Such dumps are made of streams of 100 pages. None also if too many streams begin with something else.
    """
    overlap, candidates = b"", 0
    while position < end:
        file.seek(position)
        window = file.read(min(_WINDOW_BYTES, end - position))
        if not window:
            return None
        data = overlap + window
        for match in _BZ2_STREAM.finditer(data):
            start = position - len(overlap) + match.start()
            if _begins_with_page(file, start):
                return start
            candidates += 1
            if candidates == _MOST_CANDIDATES:
                return None
        position += len(window)
        overlap = data[-9:]
    return None


def _begins_with_page(file: BinaryIO, start: int) -> bool:
    """The magic may stand inside a block too, by chance: what follows must decompress."""
    file.seek(start)
    decompressor = bz2.BZ2Decompressor()
    head, step, consumed = b"", _FIRST_BYTES, 0
    try:
        # Most of what is no stream shows it in the first bytes.
        while not head and consumed < _BZ2_BLOCK_BYTES and (data := file.read(step)):
            head = decompressor.decompress(data, _SHOWN_BYTES)
            consumed += len(data)
            step = min(2 * step, _BZ2_BLOCK_BYTES - consumed)
    except (OSError, ValueError, EOFError):
        return False
    first = head.lstrip().split(b"\n", 1)[0].strip()
    return first in (b"<page>", b"</mediawiki>")
