"""Look a text up: seeds that occur in the training text vote for places there, and the best places are compared.

Q compared units of the text that is looked up, P pairs of a seed in it and a place of the same seed in the index,
W rows of compared training text. A diagonal is the place in the training text minus the place in the text: that of a
copy is the same for all its seeds, or drifts a little where characters were inserted.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jp_llm.near_copies import format as layout
from jp_llm.near_copies.characters import SEPARATOR, Units, compared_units, folded, text_of
from jp_llm.near_copies.grams import SEED, STRIDE, distinct_grams, longest_true, seed_hashes

_MOST_PLACES = 64
"""Places that are compared of one seed: of a phrase that is everywhere, and of a document that is there many times, the
first ones are as good as all."""
_MOST_PAIRS = 1 << 18
"""Places that are compared of all seeds of a text: one that repeats itself has more, and then fewer of each are."""
_MOST_UNITS = 1 << 22
"""Units of text that are compared at once."""
_BIN = 64
"""Diagonals that vote together."""
_WINDOWS = 4
"""Places with the most votes, whose grams are compared."""

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """What training text a text resembles. Characters are those that are compared: letters and digits."""

    characters: int
    """Of the text that was looked up."""
    longest_run: int
    """Characters of its longest run that is also in the training text. Exact from SEED + STRIDE - 1 = 11 characters on,
    unless more than 64 indexed places share every seed of it; shorter runs may be missed."""
    run_text: str
    """That run as the training text has it."""
    run_source: str
    """The document that it is in."""
    containment: float
    """0 to 1: which part of its distinct grams (4 characters) one passage of the training text holds."""
    shared_grams: int
    """How many these are."""
    document: int
    """Number of the document with that passage, from 0; -1 where nothing resembles the text."""
    source: str
    """What that document is called."""
    passage: str
    """The passage."""


class NearCopyIndex:
    """An index folder, mapped into memory: a look-up reads at most 64 places of it for every seed of the text."""

    def __init__(self, folder: Path, manifest: layout.IndexManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._compared: Units = layout.mapped(folder, layout.COMPARED)
        self._shown: Units = layout.mapped(folder, layout.SHOWN)
        self._anchors = layout.mapped(folder, layout.ANCHORS)
        self._names = layout.mapped(folder, layout.NAMES)
        self._ends = layout.mapped(folder, layout.DOCUMENTS).reshape(-1, len(layout.COLUMNS))
        self._seeds: NDArray[np.uint32] = layout.mapped(folder, layout.SEEDS)
        self._places: NDArray[np.uint32] = layout.mapped(folder, layout.PLACES)

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> "NearCopyIndex":
        """Open an index.

        Args:
            verify: compare every byte with the manifest (about a second for 1 GB); sizes are always compared.

        Raises:
            UserError: there is no index, it is damaged, or of another version.
        """
        folder = folder.expanduser()
        return cls(folder, layout.read_manifest(folder, verify=verify))

    def look_up(self, text: str) -> Match:
        """What `text` has in common with the training text."""
        units = compared_units(text)
        starts, places, weights = self._seed_pairs(units)
        if not len(starts):
            return Match(len(units), 0, "", "", 0.0, 0, -1, "", "")
        run, run_place = self._longest_run(units, starts, places)
        grams = distinct_grams(units)
        windows = self._windows(len(units), starts, places, weights)
        shared, first, end = max(
            ((self._shared(grams, first, end), first, end) for first, end in windows), key=lambda window: window[0]
        )
        document = self._document_of(first)
        return Match(
            characters=len(units),
            longest_run=run,
            run_text=self._shown_text(run_place, run_place + run),
            run_source=self._name(self._document_of(run_place)),
            containment=shared / len(grams),
            shared_grams=shared,
            document=document,
            source=self._name(document),
            passage=self._shown_text(first, end),
        )

    def _seed_pairs(self, units: Units) -> tuple[Places, Places, NDArray[np.float64]]:
        """(P,) starts of seeds in the text, places of the same seeds in the training text, and weights."""
        hashes, starts = seed_hashes(units, 1)
        lower, upper = np.searchsorted(self._seeds, hashes, "left"), np.searchsorted(self._seeds, hashes, "right")
        counts = np.minimum(upper - lower, _MOST_PLACES)
        if counts.sum() > _MOST_PAIRS:
            counts = np.minimum(counts, max(1, _MOST_PAIRS // len(units)))
        offsets = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        places = self._places[np.repeat(lower, counts) + offsets].astype(np.int64) * STRIDE
        starts = np.repeat(starts, counts)
        # The information of a seed that occurs this often among all (Sparck Jones 1972).
        weights = np.repeat(np.log2((len(self._seeds) + 1) / np.maximum(upper - lower, 1)), counts)
        steps = np.arange(SEED)
        equal = (self._compared[places[:, None] + steps] == units[starts[:, None] + steps]).all(axis=1)
        return starts[equal], places[equal], weights[equal]

    def _longest_run(self, units: Units, starts: Places, places: Places) -> tuple[int, int]:
        """Length of the longest common run that goes through one of the pairs, and where in the training text."""
        steps = np.arange(-SEED, 2 * SEED)
        own = starts[:, None] + steps
        inside = (own >= 0) & (own < len(units))
        near = inside & (units[np.clip(own, 0, len(units) - 1)] == self._row(places[:, None] + steps))
        length, row, column = longest_true(near)
        best, best_place = length, int(places[row] + steps[column])
        cut = near[:, 0] | near[:, -1]  # such a run may go on outside
        diagonals = np.unique((places - starts)[cut])
        columns = np.arange(len(units))
        rows_at_once = max(1, _MOST_UNITS // len(units))
        for start in range(0, len(diagonals), rows_at_once):
            some = diagonals[start : start + rows_at_once]
            length, row, column = longest_true(self._row(some[:, None] + columns) == units)
            if length > best:
                best, best_place = length, int(some[row] + column)
            if best == len(units):
                break
        return best, best_place

    def _row(self, places: Places) -> Units:
        """Compared units at `places`; separators where there is no text."""
        last = len(self._compared) - 1
        row: Units = self._compared[np.where((places < 0) | (places > last), last, places)]
        return row

    def _windows(
        self, length: int, starts: Places, places: Places, weights: NDArray[np.float64]
    ) -> list[tuple[int, int]]:
        """First place and end of the stretches of training text, each inside a document, with the most votes."""
        order = np.argsort(places - starts, kind="stable")
        diagonals, places, weights = (places - starts)[order], places[order], weights[order]
        bins, firsts = np.unique(diagonals // _BIN, return_index=True)
        ends = np.append(firsts[1:], len(diagonals))
        votes = np.add.reduceat(weights, firsts)
        next_one = np.append(bins[1:] == bins[:-1] + 1, False)
        together = votes + np.where(next_one, np.append(votes[1:], 0.0), 0.0)
        slack = SEED + length // 16
        windows = []
        for best in np.argsort(-together, kind="stable")[:_WINDOWS]:
            members = slice(firsts[best], ends[best + 1] if next_one[best] else ends[best])
            # Diagonals of neighbouring documents may stand in one bin: the heaviest seed says which one is meant.
            anchor = int(places[members][np.argmax(weights[members])])
            document = self._document_of(anchor)
            first = max(self._start(document, 0), int(diagonals[members].min()) - slack)
            end = min(int(self._ends[document, 0]) - 1, int(diagonals[members].max()) + length + slack)
            windows.append((first, end))
        return windows

    def _shared(self, grams: NDArray[np.uint64], first: int, end: int) -> int:
        return int(np.isin(grams, distinct_grams(self._compared[first:end]), assume_unique=True).sum())

    def _document_of(self, place: int) -> int:
        # Of its own type: for a Python integer numpy would first turn all ends into a copy of another type.
        return int(np.searchsorted(self._ends[:, 0], np.uint64(place), "right"))

    def _start(self, document: int, column: int) -> int:
        return int(self._ends[document - 1, column]) if document else 0

    def _name(self, document: int) -> str:
        column = layout.COLUMNS.index(layout.NAMES)
        return self._names[self._start(document, column) : int(self._ends[document, column])].tobytes().decode("utf-8")

    def _shown_text(self, first: int, end: int) -> str:
        """The document's own text from the compared unit `first` to before `end`, with what stands between them."""
        document = self._document_of(first)
        start = self._start(document, 0)
        shown, anchors = (
            array[self._start(document, column) : int(self._ends[document, column])]
            for array, column in ((self._shown, 1), (self._anchors, 2))
        )
        step = (first - start) // layout.ANCHOR_STEP
        after = (end - start) // layout.ANCHOR_STEP + 1
        begin = int(anchors[step])
        piece = shown[begin : int(anchors[after]) if after < len(anchors) else len(shown)]
        places = np.flatnonzero(folded(piece) != SEPARATOR)
        skipped = start + step * layout.ANCHOR_STEP
        return text_of(piece[places[first - skipped] : places[end - 1 - skipped] + 1])
