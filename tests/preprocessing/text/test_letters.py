from preprocessing.text.letters import Letter
from preprocessing.text.view import TextView


def counts(text):
    return TextView(text).letter_counts.tolist()


def test_letters_of_swallow():
    #               other       hiragana katakana kanji        marks
    assert counts("ー・ｱ𠮷aゝ「!" + "ぁゖ" + "ァヺヴ" + "々〇〻漢䷀神" + "、，。．！？") == [8, 2, 3, 6, 6]
    assert counts("") == [0] * len(Letter)


def test_japanese_letters_are_all_but_other():
    assert TextView("コーヒーを、飲む。").japanese_letters == 7
