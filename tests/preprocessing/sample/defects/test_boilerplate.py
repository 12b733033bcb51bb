"""Lines of the page around the text."""

from random import Random

from preprocessing.sample.defects.boilerplate import plant_boilerplate
from preprocessing.sample.defects.planting import Planting

TEXT = "一行目の文。\n二行目の文。\n三行目の文。"


def planted(seed):
    planting = Planting(TEXT)
    plant_boilerplate(Random(seed), planting)
    return planting.raw()


def test_only_whole_lines_are_added():
    for seed in range(200):
        raw, defects = planted(seed)
        lines = raw.split("\n")
        assert [line for line in lines if line in TEXT.split("\n")] == TEXT.split("\n")
        added = sorted(line for line in lines if line not in TEXT.split("\n"))
        assert added == sorted(defect.details["line"] for defect in defects)


def test_all_kinds_occur():
    kinds = {defect.details["kind"] for seed in range(200) for defect in planted(seed)[1]}
    assert kinds == {"menu", "breadcrumb", "date", "share", "notice", "footer", "pages"}
