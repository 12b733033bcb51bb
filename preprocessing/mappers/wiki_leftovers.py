"""Brackets that lost what stood in them, in text from which somebody else removed the markup of a wiki."""

from collections import Counter

from preprocessing.document import Document
from preprocessing.step import Mapper
from preprocessing.wikitext.repair import repaired_anywhere


class WikiLeftoversMapper(Mapper):
    """東京（とうきょう、） becomes 東京（とうきょう）, and empty brackets, `英: ` without a word and 、、 go.

    For sources such as ready-made Wikipedia texts; the `wikipedia` reader repairs its own and needs none of this. Only
    full-width brackets are touched, and no quotation marks; （；´∀｀）, f（）, a gap to fill in（ ）, （・歴史） and
    （/home） stay. Tallies what was repaired, by kind.
    """

    def map(self, document: Document, tally: Counter[str]) -> str:
        return repaired_anywhere(document.text, tally)
