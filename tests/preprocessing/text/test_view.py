import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.text.characters import CharacterClass, table_of
from preprocessing.text.view import TextView


def counts(text):
    return TextView(text).class_counts.tolist()


def test_classes():
    #               other        spaces        hiragana  katakana   kanji
    assert counts("、。・A１!" + " \n\u3000\t" + "ぁゖゝ" + "ァヺーｱﾝ" + "々〆〇漢㐀𠮷") == [6, 4, 3, 5, 6]
    assert counts("") == [0] * len(CharacterClass)


@given(st.text(alphabet=st.characters(codec=None)))
def test_every_character_is_counted_once(text):
    view = TextView(text)
    assert view.class_counts.sum() == len(text)
    assert "".join(map(chr, view.codes.tolist())) == text


def test_a_new_text_gets_a_new_view():
    text = document("一二三")
    before = text.view
    assert text.view is before
    text.text = "四"
    assert len(text.view.codes) == 1
    assert text.read_characters == 3


def test_tables():
    table = table_of((0x30, 0x32), "あ")
    assert np.flatnonzero(table).tolist() == [0x30, 0x31, 0x32, 0x3042]
