"""Documents that contain texts of evaluation sets: copies of a benchmark, pages about it, quizzes with its items."""

from pydantic import PositiveInt

from preprocessing.decontaminate.config import Benchmarks
from preprocessing.document import Document
from preprocessing.step import Filter


class ContaminatedFilter(Benchmarks, Filter):
    """Drops `benchmark_items`. How items are recognised: `preprocessing/decontaminate/index.py`.

    For sources that a benchmark was made from (Wikipedia and JSQuAD) take the mapper `contamination`, which cuts the
    paragraph and keeps the article.
    """

    minimum_items: PositiveInt = 2
    """Different items that make a document go. A question with its answer near by counts for two."""

    def reason(self, document: Document) -> str | None:
        from preprocessing.text.keys import near_codes

        items = 0
        for hit in self.index().hits(near_codes(document.view.codes, document.text), short=False):
            items += 1 + hit.answered
            if items >= self.minimum_items:
                return "benchmark_items"
        return None
