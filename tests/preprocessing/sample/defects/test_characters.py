"""Characters that look right and are not: what the mapper of the pipeline mends gives the clean text back."""

import unicodedata
from collections import Counter
from random import Random

import pytest

from preprocessing.document import Document
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.sample.defects.characters import CHARACTER_DEFECTS
from preprocessing.sample.defects.planting import Planting

TEXT = "ガラスの器でプリンを食べる。がんばってパンをかじり、ABC 2024年にヴァイオリンを弾いた。ぱたぱたと鳩が飛ぶ。"
NFKC_ONLY = {"full_width_ascii"}


@pytest.mark.parametrize("kind", CHARACTER_DEFECTS)
@pytest.mark.parametrize("seed", range(20))
def test_the_mapper_mends_it(kind, seed):
    planting = Planting(TEXT)
    CHARACTER_DEFECTS[kind](Random(seed), planting)
    raw, defects = planting.raw()
    assert raw != planting.clean
    assert {defect.type for defect in defects} == {kind}
    if kind in NFKC_ONLY:
        assert unicodedata.normalize("NFKC", raw) == unicodedata.normalize("NFKC", planting.clean)
    else:
        assert UnicodeMapper().map(Document("", raw, ""), Counter()) == planting.clean
