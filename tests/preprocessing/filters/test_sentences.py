from raw import document

from preprocessing.filters.sentences import SentencesFilter


def reason(text: str, **fields) -> str | None:
    return SentencesFilter(**fields).reason(document(text))


def test_lengths():
    text = "一二三四。一二三四五六七八九。"  # 5 and 10 characters
    assert reason(text, minimum_mean=7.5, maximum_mean=7.5, maximum=10) is None
    assert reason(text, minimum_mean=7.6) == "short_sentences"
    assert reason(text, maximum_mean=7.4) == "long_sentences"
    assert reason(text, maximum=9) == "long_sentence"
    assert reason("見出し\n本文です", maximum=4) is None


def test_ellipses():
    text = "続きは…\nつづく...\nさて・・・\nそして‥ \n終わり。"
    assert reason(text, maximum_ellipses=0.8) is None
    assert reason(text, maximum_ellipses=0.79) == "ellipses"


def test_kuten_as_in_hojichar():
    assert reason("おはよ。", characters_per_kuten=4) is None
    assert reason("おはよう。", characters_per_kuten=4) == "rare_kuten"
    assert reason("おはよ．", characters_per_kuten=4) == "rare_kuten"


def test_nothing_is_checked_by_default_and_nothing_has_no_sentences():
    assert reason("あ" * 1000) is None
    assert reason("", minimum_mean=5, characters_per_kuten=10) is None
    assert reason("。\n。", minimum_mean=5) is None
