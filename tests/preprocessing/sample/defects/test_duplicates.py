"""Near duplicates: as far from their originals as the key records."""

from random import Random

import pytest

from preprocessing.document import Document
from preprocessing.sample.defects.distance import edit_distance
from preprocessing.sample.defects.duplicates import EDIT_RATES, nearly

ORIGINAL = "".join(
    f"{number}月の朝、山の上で{number * 3}羽の鳥が鳴き、風が止んだ。\n" for number in range(1, 13)
).strip()
DONOR = "海の近くの町に住んでいる。毎日、船を見ながらパンを食べた。夕方には犬と歩く。"


@pytest.mark.parametrize("rate", EDIT_RATES)
def test_the_rate_is_about_what_was_aimed_at(rate):
    for seed in range(20):
        text, distance = nearly(Random(seed), ORIGINAL, DONOR, rate)
        assert distance == edit_distance(ORIGINAL, text) > 0
        assert distance / len(ORIGINAL) <= rate + 0.05
        assert "\n\n" not in text


def test_higher_rates_give_more_edits():
    far = [nearly(Random(seed), ORIGINAL, DONOR, 0.4)[1] for seed in range(20)]
    near = [nearly(Random(seed), ORIGINAL, DONOR, 0.05)[1] for seed in range(20)]
    assert sum(far) > 4 * sum(near)


def test_the_key_records_the_distance(records):
    texts = {answer["id"]: record.text for answer, record in records if isinstance(record, Document)}
    found = [(a["id"], defect) for a, _ in records for defect in a["defects"] if defect["type"] == "near_duplicate"]
    assert len({defect["target_rate"] for _, defect in found}) >= 4
    for id, defect in found:
        original = texts[defect["of"]]
        assert edit_distance(original, texts[id]) == defect["distance"]
        assert defect["edit_rate"] == pytest.approx(defect["distance"] / len(original), abs=1e-4)
        assert 0 < defect["edit_rate"] <= 0.45
