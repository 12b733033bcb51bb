"""Wrongly decoded texts: the pipeline's filter knows them."""

from random import Random

import pytest

from preprocessing.document import Document
from preprocessing.filters.characters import CharactersFilter
from preprocessing.filters.mojibake import MojibakeFilter
from preprocessing.sample.defects.encodings import mojibake, replacement_characters

TEXT = "春の朝、山の上の小さな町で、人々は静かに本を読んでいた。やがて鐘が鳴り、パン屋の戸が開いた。" * 4


@pytest.mark.parametrize("seed", range(20))
def test_mojibake_is_no_text(seed):
    raw, defect = mojibake(Random(seed), TEXT)
    assert raw == TEXT.encode(defect.details["written"]).decode(defect.details["read"], errors="replace")
    assert defect.details["original"] == TEXT
    document = Document("", raw, "")
    assert MojibakeFilter().reason(document) or CharactersFilter().reason(document)


@pytest.mark.parametrize("seed", range(20))
def test_lost_characters(seed):
    raw, defects = replacement_characters(Random(seed), TEXT)
    assert raw.count("\ufffd") == len(defects) >= 3
    characters = list(raw)
    for defect in defects:
        characters[defect.start] = defect.clean
    assert "".join(characters) == TEXT
    assert MojibakeFilter().reason(Document("", raw, "")) == "replacement_characters"
