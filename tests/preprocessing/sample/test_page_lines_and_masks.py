"""What the line rules and the masks make of what was planted; `benchmarks/truth_lines.py` has the figures."""

from collections import Counter

import pytest

from preprocessing.document import Document
from preprocessing.mappers.lines import LinesMapper
from preprocessing.mappers.personal_data import PersonalDataMapper
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.mappers.whitespace import WhitespaceMapper


@pytest.mark.parametrize("before", [[], [UnicodeMapper(), WhitespaceMapper()]])
def test_boilerplate_goes_and_prose_stays(records, before):
    def mapped(mappers, text):
        document = Document("", text, "sample")
        for mapper in mappers:
            document.text = mapper.map(document, Counter())
        return document.text

    counts: Counter[str] = Counter()
    for answer, record in records:
        if not isinstance(record, Document) or answer["expected"] == "reject":
            continue
        planted = {item["line"] for item in answer["defects"] if item["type"] == "boilerplate"}
        planted = {mapped(before, line).strip() for line in planted}
        text = mapped(before, record.text)
        left = Counter(mapped([LinesMapper()], text).split("\n"))
        for line, number in Counter(line for line in text.split("\n") if line.strip()).items():
            kind = "boilerplate" if line.strip() in planted else "prose"
            counts[kind] += number
            counts[f"{kind} left"] += min(number, left[line])
    assert counts["boilerplate"] > 20
    assert counts["boilerplate left"] <= 0.02 * counts["boilerplate"]
    assert counts["prose left"] >= 0.995 * counts["prose"]


def test_personal_data_is_masked_and_other_numbers_stay(records):
    mapper = PersonalDataMapper()
    hits: list[bool] = []
    for answer, record in records:
        if not isinstance(record, Document):
            continue
        found = mapper.find(record.text)
        personal = [item for item in answer["defects"] if item["type"] == "personal_data"]
        for item in personal:
            hits.append(any(mask.start <= item["start"] and item["end"] <= mask.end for mask in found))
        assert all(any(mask.start < item["end"] and item["start"] < mask.end for item in personal) for mask in found)
    assert len(hits) > 5
    assert sum(hits) >= 0.98 * len(hits)
