"""Paragraphs that contain texts of evaluation sets: cut out, or marked."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from preprocessing.decontaminate.config import Benchmarks
from preprocessing.document import Document
from preprocessing.step import Mapper

if TYPE_CHECKING:
    from preprocessing.decontaminate.index import Hit

_LOOKS = 8
"""Where lines were cut, the halves of another item may meet. Hostile nesting is not followed to its end."""


class ContaminationMapper(Benchmarks, Mapper):
    """Tallies `items` (different ones per document), `short_items` (so short that they are marked only), `paragraphs`
    and `characters` that were cut. How items are recognised: `preprocessing/decontaminate/index.py`.

    For sources that a benchmark was made from; the filter `contaminated` drops whole documents.
    """

    action: Literal["cut", "mark"] = "cut"
    """cut removes all lines in which an item stands. Both write the names of the items to the field
    `benchmark_items` of the document's `meta`."""

    def map(self, document: Document, tally: Counter[str]) -> str:
        from preprocessing.text.keys import near_codes, near_keys

        index = self.index()
        if not any(True for _ in index.hits(near_codes(document.view.codes, document.text), short=True)):
            return document.text
        lines: Sequence[str] = document.view.lines
        items: dict[int, Hit] = {}
        for _ in range(_LOOKS):
            keys = near_keys(lines)
            touched: set[int] = set()
            for hit in index.hits(keys.codes, short=True, every=True):
                items.setdefault(hit.item, hit)
                if not hit.short:
                    first, last = keys.offsets.searchsorted((hit.start, hit.end - 1), side="right").tolist()
                    touched.update(range(first - 1, last))
            if self.action == "mark" or not touched:
                break
            lines = [line for number, line in enumerate(lines) if number not in touched]
        for hit in items.values():
            tally["short_items" if hit.short else "items"] += 1
        if items:
            document.meta["benchmark_items"] = list(dict.fromkeys(hit.name for hit in items.values()))
        cut = len(document.view.lines) - len(lines)
        if not cut:
            return document.text
        tally["paragraphs"] += cut
        left = "\n".join(lines)
        tally["characters"] += len(document.text) - len(left)
        return left
