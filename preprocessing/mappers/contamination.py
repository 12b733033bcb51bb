"""Paragraphs that contain texts of evaluation sets: cut out, or marked."""

from collections import Counter
from typing import Literal

from preprocessing.decontaminate.config import Benchmarks
from preprocessing.document import Document
from preprocessing.step import Mapper


class ContaminationMapper(Benchmarks, Mapper):
    """Tallies `items` (different ones per document), `short_items` (so short that they are marked only), `paragraphs`
    and `characters` that were cut. How items are recognised: `preprocessing/decontaminate/index.py`.

    For sources that a benchmark was made from; the filter `contaminated` drops whole documents.
    """

    action: Literal["cut", "mark"] = "cut"
    """cut removes the lines in which an item stands. Both write the names of the items to the field
    `benchmark_items` of the document's `meta`."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        from preprocessing.text.keys import near_codes, near_keys

        index = self.index()
        if not any(True for _ in index.hits(near_codes(document.view.codes, document.text), short=True)):
            return document.text
        lines = document.view.lines
        keys = near_keys(lines)
        names: dict[str, None] = {}
        touched: set[int] = set()
        for hit in index.hits(keys.codes, short=True):
            names[hit.name] = None
            if hit.short:
                tally["short_items"] += 1
                continue
            tally["items"] += 1
            first, last = keys.offsets.searchsorted((hit.start, hit.end - 1), side="right").tolist()
            touched.update(range(first - 1, last))
        if names:
            document.meta["benchmark_items"] = list(names)
        if self.action == "mark" or not touched:
            return document.text
        left = "\n".join([line for number, line in enumerate(lines) if number not in touched])
        tally["paragraphs"] += len(touched)
        tally["characters"] += len(document.text) - len(left)
        return left
