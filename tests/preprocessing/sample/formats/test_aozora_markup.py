"""Inline markup: taken away by our reader, the clean line is left."""

import re
from random import Random

import pytest

from preprocessing.readers._aozora_format import plain_text
from preprocessing.sample.formats.aozora_markup import OLD_FORMS, Markup, gaiji_note
from preprocessing.sample.lexicon import load_lexicon

LINES = (
    "葦原町の山本さんは、頬を染めて蝉の声を聞いた。",
    "いろいろなことがだんだん分かり、ますます静かになった。",
    "「醤油と麹を買っておいで」と山本が言った。",
    "カタカナのコーヒーと、ひらがなばかりのながいぶんしょう。",
    "繋いだ手をぎゅっと掴む。屏風の前で、それぞれの荷物を剥がした。",
    "漢字仮名漢字葦原町葦原",
)
READINGS = {"葦原町": "あしはらちょう", "葦原": "あしはら", "山本": "やまもと"}


@pytest.mark.parametrize("old_forms", [False, True])
@pytest.mark.parametrize("repeat_marks", [False, True])
def test_without_its_markup_a_line_is_the_clean_line(old_forms, repeat_marks):
    total = 0
    for seed in range(100):
        markup = Markup(Random(seed), READINGS, old_forms=old_forms, repeat_marks=repeat_marks)
        for line in LINES * 3:
            raw, clean = markup.line(line)
            assert plain_text(raw) == clean
            raw.encode("cp932")
            if not old_forms and not repeat_marks:
                assert clean == line
        total += sum(markup.counts.values())
    assert total > 100


def test_what_the_typist_may_write():
    markup = Markup(Random(0), READINGS, old_forms=True, repeat_marks=True)
    counts = markup.counts
    for seed in range(300):
        markup.rng = Random(seed)
        for line in LINES:
            markup.line(line)
    assert counts.keys() >= {"ruby", "ruby_bar", "gaiji", "repeat_mark", "emphasis", "typist"}


@pytest.mark.parametrize("form", [new for new, _ in OLD_FORMS.values()])
def test_old_forms_cannot_be_written_in_cp932(form):
    with pytest.raises(UnicodeEncodeError):
        form.encode("cp932")
    note = gaiji_note(form)
    note.encode("cp932")
    assert plain_text(note) == form


def test_a_known_note():
    assert gaiji_note("摑") == "※［＃「てへん＋國」、第3水準1-84-89］"


def test_a_reading_stands_on_the_word_it_belongs_to():
    known = READINGS | {word: kana for words in load_lexicon().readings.values() for word, kana in words.items()}
    found = set()
    for seed in range(50):
        markup = Markup(Random(seed), READINGS, old_forms=False, repeat_marks=False)
        for line in LINES:
            # The base goes from ｜, or else is the longest run of kanji.
            for marked, run, reading in re.findall(
                "(?:｜([^《｜]+)|([一-鿿々〆ヶ]+))《([^》]+)》", markup.line(line)[0]
            ):
                assert known[marked or run] == reading
                found.add(marked or run)
    assert found >= READINGS.keys()
