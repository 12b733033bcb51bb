import unicodedata
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.report.histograms import SHOWN, Histograms


def counts(*texts):
    histograms = Histograms()
    for text in texts:
        histograms.add_length("read", len(text))
        histograms.add_scripts("kept", document(text))
    return histograms.counts()


def test_lengths_are_counted_by_powers_of_two():
    found = counts("", "あ", "ああ", "あああ", "ああああ", "あ" * 1024)
    lengths = {name: number for name, number in found.items() if name.startswith("lengths")}
    assert lengths == {
        "lengths.read.00": 1,
        "lengths.read.01": 1,
        "lengths.read.02": 2,
        "lengths.read.03": 1,
        "lengths.read.11": 1,
    }


def test_scripts_are_counted_in_characters_and_in_tenths():
    found = counts("ひらカナ漢字ABＣ1２。　 \n")  # 12 characters that are no spaces
    assert {script: found[f"characters.kept.{script}"] for script in SHOWN} == {
        "hiragana": 2,
        "katakana": 2,
        "kanji": 2,
        "latin": 3,
        "digits": 2,
        "other": 1,
    }
    tenths = {name for name in found if name.startswith("scripts")}
    assert tenths == {
        "scripts.kept.hiragana.1",
        "scripts.kept.katakana.1",
        "scripts.kept.kanji.1",
        "scripts.kept.latin.2",
        "scripts.kept.digits.1",
        "scripts.kept.other.0",
    }
    assert counts("漢字")["scripts.kept.kanji.9"] == 1
    assert counts(" ")["scripts.kept.kanji.0"] == 1


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x24F), max_size=30))
def test_latin_letters_are_those_of_unicode(text):
    expected = Counter("LATIN" in unicodedata.name(character, "") for character in text if character not in "ªº")
    assert counts(text)["characters.kept.latin"] == expected[True]
