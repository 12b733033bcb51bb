"""Recall and precision on the sample corpus, as `benchmarks/truth_deduplication.py` measures them."""

from pathlib import Path

import pytest


def test_planted_duplicates_are_found_and_only_they(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[3] / "benchmarks")
    from truth_deduplication import truth

    found = truth(tmp_path, seed=5, characters=2_000_000)
    assert found["exact duplicates planted"] == found["of them dropped"] > 50
    assert found["with similarity >= 0.85"] > 40
    assert found["recall"] >= 0.95
    assert found["dropped as near duplicates"] > 50
    assert found["precision"] >= 0.99
