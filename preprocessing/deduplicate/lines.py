"""Lines that stand in many documents, and paragraphs that stand in several: found by hashes, and taken away."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.deduplicate.batches import read_batches
from preprocessing.deduplicate.config import DeduplicationConfig, LinesConfig, ParagraphsConfig
from preprocessing.deduplicate.decisions import exact_duplicates, near_duplicates
from preprocessing.deduplicate.tables import (
    Workspace,
    document_number,
    gather_range,
    ordinals,
    part_name,
    rows_of_file,
    write_array,
)
from preprocessing.text.keys import exact_keys, segment_hashes

LINE_BYTES, PARAGRAPH_BYTES = 16, 24
"""What a row takes on disk."""
BYTES_PER_LINE, BYTES_PER_PARAGRAPH = 64, 96
"""What a row takes at the height of `merge_lines` and of `merge_paragraphs`."""
_DIALOGUE = ("「", "『", "\u3000「", "\u3000『")
_BLANK_LINES = re.compile("\n{3,}")

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class _Lines:
    """The lines of several texts, and the hashes of those that a rule looks at."""

    lines: list[str]
    starts: NDArray[np.int64]
    """First line of each text, and the number of all; int64 [texts + 1]."""
    short: NDArray[np.int64]
    """Lines that may be menus, by place."""
    short_hashes: Hashes
    """Of their exact keys with masked digits."""
    long: NDArray[np.int64]
    """Paragraphs, by place."""
    long_hashes: Hashes

    @classmethod
    def of(cls, texts: Sequence[str], rule: LinesConfig | None, paragraphs: ParagraphsConfig | None) -> "_Lines":
        split = [text.split("\n") for text in texts]
        starts = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(lines) for lines in split], out=starts[1:])
        lines = list(chain.from_iterable(split))
        lengths = np.fromiter(map(len, lines), dtype=np.int64, count=len(lines))
        nothing = np.empty(0, dtype=np.int64)
        short = long = nothing
        if rule:
            candidates = np.flatnonzero((lengths > 0) & (lengths <= rule.maximum_characters)).tolist()
            short = np.array([place for place in candidates if not lines[place].startswith(_DIALOGUE)], dtype=np.int64)
        if paragraphs:
            long = np.flatnonzero(lengths >= paragraphs.minimum_characters)
        short, short_hashes = _hashed(lines, short, mask_digits=True)
        long, long_hashes = _hashed(lines, long, mask_digits=False)
        return cls(lines, starts, short, short_hashes, long, long_hashes)

    def texts_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The text that each of these lines is in."""
        return np.searchsorted(self.starts, places, side="right") - 1


def _hashed(lines: list[str], places: NDArray[np.int64], *, mask_digits: bool) -> tuple[NDArray[np.int64], Hashes]:
    """Lines that have a key, and their hashes."""
    hashes = segment_hashes(exact_keys([lines[place] for place in places.tolist()], mask_digits=mask_digits))
    return places[hashes != 0], hashes[hashes != 0]


def lines_of_file(config: DeduplicationConfig, folder: str, name: str, file: int, documents: int) -> dict[str, Any]:
    """Write (hash, documents) of the short lines of a file, sorted.

    Documents that are copies of others are left out: a page crawled a hundred times makes no menu of its lines.
    """
    workspace = Workspace(folder)
    copies = exact_duplicates(workspace, file, documents)
    found = []
    for batch in read_batches(Path(folder) / name):
        kept = np.flatnonzero(~copies[batch.first : batch.first + len(batch.texts)])
        lines = _Lines.of([batch.texts[place] for place in kept.tolist()], config.lines, None)
        found.append(_unique(lines.short_hashes, kept.astype(np.uint64)[lines.texts_of(lines.short)])[:, 0])
    hashes, counts = np.unique(_joined(found), return_counts=True)
    write_array(workspace.path("lines", file), np.column_stack((hashes, counts.astype(np.uint64))))
    return {"rows": len(hashes)}


def merge_lines(folder: str, files: int, part: int, parts: int, minimum_documents: int) -> dict[str, Any]:
    """Write the hashes of the lines, in a range of hashes, that stand in so many documents; sorted."""
    workspace = Workspace(folder)
    rows = gather_range(workspace.of_files("lines", files), 2, part, parts)
    rows = rows[np.argsort(rows[:, 0])]
    frequent = np.empty(0, dtype=np.uint64)
    if len(rows):
        starts = np.flatnonzero(np.concatenate(([True], rows[1:, 0] != rows[:-1, 0])))
        frequent = rows[starts, 0][np.add.reduceat(rows[:, 1], starts) >= minimum_documents]
    write_array(workspace.path("frequent_lines", part_name(part, parts)), frequent)
    return {"found": len(frequent)}


def paragraphs_of_file(
    config: DeduplicationConfig, folder: str, name: str, file: int, documents: int
) -> dict[str, Any]:
    """Write (hash, first document, whether more of the file have it) of the paragraphs of a file, sorted.

    Of the documents that are left so far. However many have a paragraph, it takes one row: what stands in millions of
    documents must fit into the memory of one range of hashes.
    """
    workspace = Workspace(folder)
    gone = exact_duplicates(workspace, file, documents) | near_duplicates(workspace, file, documents)
    shortener = Shortener(config, folder, file, paragraphs=False)
    found = [np.empty((0, 2), dtype=np.uint64)]
    for batch in read_batches(Path(folder) / name):
        left = shortener.shorten(batch.texts, batch.first)
        kept = [place for place, one in enumerate(left) if not one.reason and not gone[batch.first + place]]
        lines = _Lines.of([left[place].text for place in kept], None, config.paragraphs)
        numbers = np.array(kept, dtype=np.uint64) + np.uint64(document_number(file, batch.first))
        found.append(_unique(lines.long_hashes, numbers[lines.texts_of(lines.long)]))
    rows = np.concatenate(found)
    rows = rows[np.lexsort(rows.T[::-1])]
    starts = np.flatnonzero(_news(rows))
    several = np.diff(starts, append=len(rows)) > 1
    write_array(workspace.path("paragraphs", file), np.column_stack((rows[starts], several.astype(np.uint64))))
    return {"rows": len(starts)}


def merge_paragraphs(folder: str, files: int, part: int, parts: int) -> dict[str, Any]:
    """Write (first document of its file, hash, whether it stays there) of the repeated paragraphs; sorted.

    Of those in a range of hashes. What does not stay in the first document of a file goes from all of the file.
    """
    workspace = Workspace(folder)
    rows = gather_range(workspace.of_files("paragraphs", files), 3, part, parts)
    rows = rows[np.lexsort(rows.T[::-1])]
    stays = _news(rows)
    repeated = np.column_stack((rows[:, 1], rows[:, 0], stays))[~stays | (rows[:, 2] == 1)]
    repeated = repeated[np.lexsort(repeated.T[::-1])]
    write_array(workspace.path("repeated_paragraphs", part_name(part, parts)), repeated)
    return {"found": len(repeated)}


def _news(rows: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Truth of the first row of each hash, in rows sorted by hash."""
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = rows[1:, 0] != rows[:-1, 0]
    return new


def _unique(hashes: Hashes, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(hash, document), each once."""
    rows = np.column_stack((hashes, numbers))
    rows = rows[np.lexsort(rows.T[::-1])]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return rows[new]


def _joined(arrays: list[Hashes]) -> Hashes:
    return np.concatenate([np.empty(0, dtype=np.uint64), *arrays])


@dataclass(frozen=True)
class Shortened:
    """A text without the lines and paragraphs that had to go."""

    text: str
    frequent_lines: int = 0
    repeated_paragraphs: int = 0
    reason: str | None = None
    """Why the document is dropped for what is left of it."""


class Shortener:
    """Takes frequent lines and repeated paragraphs out of the documents of one file."""

    def __init__(self, config: DeduplicationConfig, folder: str, file: int, *, paragraphs: bool) -> None:
        """`paragraphs`: they have been compared, so repeated ones go too."""
        workspace = Workspace(folder)
        self._config = config
        # Ranges of hashes in order: sorted as a whole.
        tables = workspace.decided("frequent_lines") if config.lines else []
        self._frequent = _joined([np.fromfile(table, dtype=np.uint64) for table in tables])
        paragraphs = paragraphs and config.paragraphs is not None
        rows = rows_of_file(workspace.decided("repeated_paragraphs") if paragraphs else [], 3, file)
        rows = rows[np.argsort(rows[:, 1])]
        self._repeated = rows[:, 1].copy()
        self._stays_in = np.where(rows[:, 2] == 1, ordinals(rows[:, 0]), -1)

    def shorten(self, texts: Sequence[str], first: int) -> list[Shortened]:
        """What is left of the documents from the `first`-th of the file on."""
        if not self._frequent.size and not self._repeated.size:
            return [self._judged(text, text) for text in texts]
        found = _Lines.of(texts, self._config.lines, self._config.paragraphs)
        frequent = found.short[_contained(found.short_hashes, self._frequent)]
        repeated = found.long[self._repeats(found.long_hashes, found.texts_of(found.long) + first)]
        of_text = np.zeros((2, len(texts)), dtype=np.int64)
        for kind, lines in enumerate((frequent, repeated)):
            of_text[kind] = np.bincount(found.texts_of(lines), minlength=len(texts))
        gone = set(frequent.tolist()) | set(repeated.tolist())
        results = []
        for index, (text, lines_gone, paragraphs_gone) in enumerate(zip(texts, *of_text.tolist(), strict=True)):
            if lines_gone or paragraphs_gone:
                places_left = range(int(found.starts[index]), int(found.starts[index + 1]))
                left = "\n".join([found.lines[place] for place in places_left if place not in gone])
                left = _BLANK_LINES.sub("\n\n", left).strip("\n")
                results.append(self._judged(text, left, lines_gone, paragraphs_gone))
            else:
                results.append(self._judged(text, text))
        return results

    def _repeats(self, hashes: Hashes, documents: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a paragraph is repeated, and does not stay in this document."""
        known = _contained(hashes, self._repeated)
        known[known] = self._stays_in[np.searchsorted(self._repeated, hashes[known])] != documents[known]
        return known

    def _judged(self, text: str, left: str, lines: int = 0, paragraphs: int = 0) -> Shortened:
        reason = None
        if len(left) < self._config.minimum_characters:
            reason = "too_short"
        elif len(text) - len(left) > self._config.maximum_lost * len(text):
            reason = "lost_too_much"
        return Shortened(left, lines, paragraphs, reason)


def _contained(values: Hashes, known: Hashes) -> NDArray[np.bool_]:
    """Whether each value is one of the sorted `known` ones."""
    if not known.size:
        return np.zeros(len(values), dtype=np.bool_)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[places] == values
    return found
