"""Paragraphs that contain texts of evaluation sets: cut out, or marked."""

from collections import Counter
from typing import Literal

import numpy as np

from preprocessing.decontaminate.config import Benchmarks
from preprocessing.document import Document
from preprocessing.step import Mapper
from preprocessing.text.keys import near_codes, near_keys


class ContaminationMapper(Benchmarks, Mapper):
    """Tallies `items` (different ones per document), `short_items` (so short that they are marked only), `paragraphs`
    and `characters` that were cut. How items are recognised: `preprocessing/decontaminate/index.py`.

    For sources that a benchmark was made from; the filter `contaminated` drops whole documents.
    """

    action: Literal["cut", "mark"] = "cut"
    """cut removes the lines in which an item stands. Both write the names of the items to the field
    `benchmark_items` of the document's `meta`."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        index = self.index()
        if not any(True for _ in index.hits(near_codes(document.view.codes, document.text), short=True)):
            return document.text
        lines = document.view.lines
        keys = near_keys(lines)
        names: dict[str, None] = {}
        touched = np.zeros(len(lines), dtype=np.bool_)
        for hit in index.hits(keys.codes, short=True):
            names[hit.name] = None
            if hit.short:
                tally["short_items"] += 1
                continue
            tally["items"] += 1
            first, last = np.searchsorted(keys.offsets, (hit.start, hit.end - 1), side="right") - 1
            touched[first : last + 1] = True
        if names:
            document.meta["benchmark_items"] = list(names)
        if self.action == "mark" or not touched.any():
            return document.text
        left = "\n".join([line for line, gone in zip(lines, touched.tolist(), strict=True) if not gone])
        tally["paragraphs"] += int(np.count_nonzero(touched))
        tally["characters"] += len(document.text) - len(left)
        return left
