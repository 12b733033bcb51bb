from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers import neologdn as module
from preprocessing.mappers.neologdn import NeologdnMapper

neologdn = pytest.importorskip("neologdn", reason="neologdn is not installed (pip install 'jp-llm[corpus]')")

SAMPLES = st.text(st.sampled_from("東京とａＡ1１ 　ーｰ―〜~ｶﾞ゛、，．！?¥\n"), max_size=40)


def mapped(text: str, **fields: object) -> str:
    return NeologdnMapper(**fields).map(document(text), Counter())  # type: ignore[arg-type]


@given(
    SAMPLES, st.integers(0, 3), st.booleans(), st.sampled_from(["remove", "normalize", "normalize_zenkaku", "ignore"])
)
def test_same_as_the_library(text, repeat, remove_space, tilde):
    expected = neologdn.normalize(text, repeat=repeat, remove_space=remove_space, tilde=tilde)
    assert mapped(text, repeat=repeat, remove_space=remove_space, tilde=tilde) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1995〜2001年", "19952001年"), ("東京 と 大阪", "東京と大阪"), ("コーヒーーー", "コーヒー"), ("A－B", "AーB")],
)
def test_known_hazards(text, expected):
    assert mapped(text) == expected


def test_safe_settings_for_tweets():
    assert mapped("1995〜2001年 東京 と", tilde="normalize_zenkaku", remove_space=False) == "1995〜2001年 東京 と"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    assert NeologdnMapper().problems() == []
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert "pip install neologdn" in NeologdnMapper().problems()[0]
