from raw import document

from preprocessing.filters.script import ScriptFilter


def reason(text: str, **fields) -> str | None:
    return ScriptFilter(**fields).reason(document(text))


def test_kana_at_the_beginning():
    assert reason("a" * 49 + "あ", kana_within=50) is None
    assert reason("a" * 50 + "あ", kana_within=50) == "late_kana"
    assert reason("漢字ー", kana_within=50) == "late_kana"
    assert reason("ほうじ茶", kana_within=50) is None


def test_hiragana_among_all_characters():
    assert reason("あ" + "a" * 9, minimum_hiragana=0.1) is None
    assert reason("あ" + "a" * 9 + "\n", minimum_hiragana=0.1) == "little_hiragana"


def test_number_of_japanese_letters():
    assert reason("日本語です。print()", minimum_japanese_letters=6) is None
    assert reason("日本語です。print()", minimum_japanese_letters=7) == "few_japanese"


def test_nothing_is_checked_by_default():
    assert reason("") is None
