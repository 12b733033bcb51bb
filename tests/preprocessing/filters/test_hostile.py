"""Texts that make careless rules slow: every filter that needs no file of the user meets them, large."""

import pytest
from raw import document

from jp_llm.runtime import plugin
from preprocessing.filters.layout import LayoutFilter
from preprocessing.filters.repetition import RepetitionFilter
from preprocessing.filters.script import ScriptFilter
from preprocessing.filters.sentences import SentencesFilter
from preprocessing.filters.swallow import SwallowFilter
from preprocessing.filters.words import WordsFilter

SIZE = 300_000
OPEN = {"minimum_hiragana": 0, "minimum_japanese": 0, "minimum_japanese_letters": 0, "minimum_mean_sentence": 0.1}
CHOSEN = {
    "swallow": SwallowFilter(
        **OPEN, maximum_mean_sentence=1e9, maximum_sentence=1e9, maximum_duplicates=1, maximum_duplicate_characters=1
    ),
    "sentences": SentencesFilter(minimum_mean=0.1, maximum_ellipses=1, characters_per_kuten=1_000_000_000),
    "layout": LayoutFilter(maximum_short=1, maximum_bullets=1, maximum_ellipses=1, minimum_ended=0),
    "repetition": RepetitionFilter(frequent_ngrams={3: 1}, duplicate_ngrams={5: 1}, top_ngrams={5: 1}, maximum_run=9),
    "script": ScriptFilter(kana_within=50, minimum_hiragana=0.1),
    "words": WordsFilter(of=("adult", "ads"), maximum_hits=1 << 30),
}


@pytest.mark.parametrize(
    "unit", ["1", "あ", "。", "\n", "あ。", "<a", "[[", "&#1", "ｶﾞ", "2019-", "エロ", "\ud800", "…\n"]
)
def test_time_grows_with_the_text_and_not_faster(unit):
    text = document(unit * (SIZE // len(unit)))
    for name in plugin.names("preprocessing.filters"):
        kind = plugin.load("preprocessing.filters", name)
        needs_files = any(field.is_required() for field in kind.model_fields.values())
        step = CHOSEN.get(name) or (None if needs_files else kind())
        found = step.reason(text) if step else None
        assert found is None or found.islower()
