import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.errors import UserError
from preprocessing.quality import model as module
from preprocessing.quality.model import QualityModel, buckets
from preprocessing.text.characters import codes_of

SIZES = (1, 2, 3)


@pytest.fixture(scope="module")
def model() -> QualityModel:
    weights = np.random.default_rng(0).normal(size=1 << 10)
    return QualityModel.of_floats(weights, 0.25, SIZES, {"good": 3})


def slow_score(model: QualityModel, text: str) -> float:
    """One n-gram after the other."""
    found = [
        int(model.weights[buckets(codes_of(text[start : start + size]), size, 10)[0]]) / 65536
        for size in SIZES
        for start in range(len(text) - size + 1)
    ]
    return 1 / (1 + math.exp(-(model.bias + (sum(found) / len(found) if found else 0))))


@given(st.text(max_size=50))
def test_a_score_is_the_mean_weight_of_all_ngrams(model, text):
    assert model.score(codes_of(text)) == pytest.approx(slow_score(model, text), abs=1e-12)


@given(st.text(min_size=1, max_size=50))
def test_long_texts_are_scored_in_blocks(model, text):
    expected = model.score(codes_of(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 7)
        assert model.score(codes_of(text)) == expected


def test_ngrams_of_all_sizes_spread_over_the_buckets():
    codes = codes_of("".join(map(chr, range(0x3041, 0x3041 + 5000))))
    for size in SIZES:
        found = buckets(codes, size, 10)
        assert found.min() >= 0
        assert found.max() < 1 << 10
        assert np.bincount(found, minlength=1 << 10).max() < 30


def test_a_file_holds_all(model, tmp_path):
    path = tmp_path / "model.npz"
    model.save(path)
    loaded = QualityModel.load(path)
    assert loaded.manifest == {"good": 3}
    assert loaded.score(codes_of("日本語の文章。")) == model.score(codes_of("日本語の文章。"))
    first = path.read_bytes()
    model.save(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"some text"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no quality model"):
        QualityModel.load(path)


def test_other_archives_of_numpy_are_refused(tmp_path, model):
    path = tmp_path / "model.npz"
    np.savez(path, weights=np.zeros(4))
    with pytest.raises(UserError, match="no quality model"):
        QualityModel.load(path)
    model.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="no quality model"):
        QualityModel.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        QualityModel.load(tmp_path / "nowhere.npz")
