"""Word lists: every entry is usable, and the last word of a phrase is found."""

import re

import pytest

from preprocessing.sample.conjugation import WordClass
from preprocessing.sample.lexicon import WORDS, load_lexicon, read_sections

PHRASES = [
    ("野菜を刻む", "te", "野菜を刻んで"),
    ("道ばたの石を見つける", "ta", "道ばたの石を見つけた"),
    ("気分がいい", "te", "気分がよくて"),
    ("声が美しい", "adv", "声が美しく"),
    ("町が静か", "attr", "町が静かな"),
    ("医師だ", "TA", "医師だった"),
    ("絵を見られる", "nai", "絵を見られない"),
    ("家に帰る", "ta", "家に帰った"),
    ("形を変える", "ta", "形を変えた"),
]


@pytest.mark.parametrize(("phrase", "form", "expected"), PHRASES)
def test_the_last_word_of_a_phrase_is_inflected(phrase, form, expected):
    assert load_lexicon().inflect(phrase, form, "plain") == expected


def test_a_phrase_without_a_known_word_at_its_end_is_refused():
    with pytest.raises(KeyError, match="机の上"):
        load_lexicon().tail("机の上")


def test_there_are_words_enough():
    lexicon = load_lexicon()
    counts = {word_class: 0 for word_class in WordClass}
    for word_class in lexicon.word_classes.values():
        counts[word_class] += 1
    assert counts[WordClass.GODAN] + counts[WordClass.ICHIDAN] > 500
    assert counts[WordClass.I_ADJECTIVE] + counts[WordClass.NA_ADJECTIVE] > 150
    assert sum(len(words) for name, words in lexicon.classes.items() if not name.startswith("adj_")) > 3000


def test_verbs_end_as_their_conjugation_demands():
    for word, word_class in load_lexicon().word_classes.items():
        if word_class is WordClass.GODAN:
            assert word[-1] in "うくぐすつぬぶむる", word
        elif word_class is WordClass.ICHIDAN:
            assert word.endswith("る"), word
        elif word_class is WordClass.I_ADJECTIVE:
            assert word.endswith("い"), word


def test_readings_are_kana():
    for readings in load_lexicon().readings.values():
        for word, reading in readings.items():
            assert re.fullmatch("[ぁ-ゖー]+", reading), word


def test_a_word_may_be_read_in_another_way_in_a_name():
    readings = load_lexicon().readings
    assert (readings["family_second"]["橋"], readings["place_second"]["橋"]) == ("はし", "ばし")


def test_no_class_holds_a_word_twice():
    for name, words in load_lexicon().classes.items():
        assert len(set(words)) == len(words), name


def test_sections_of_whole_lines():
    sections = read_sections(WORDS / "phrases" / "navigation.txt")
    assert sections.keys() == {"menu", "topic", "share", "notice"}
    assert "お問い合わせ" in sections["menu"]
