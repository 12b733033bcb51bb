from raw import document

from preprocessing.filters.layout import LayoutFilter


def reason(text: str, **fields) -> str | None:
    return LayoutFilter(**fields).reason(document(text))


def test_short_lines():
    text = "一二三四五六七八九十\n一二三四五六七八九十一\n\n"  # 10 and 11 characters, two blank lines
    assert reason(text, maximum_short=0.5) is None
    assert reason(text, maximum_short=0.49) == "short_lines"
    assert reason(text, maximum_short=0.5, blank_lines="count") == "short_lines"
    assert reason(text, maximum_short=0.0, short_line=9) is None


def test_bullets_and_ellipses():
    assert reason("・一つ\n 　● 二つ\n三つ", maximum_bullets=0.6) == "bullets"
    assert reason("・一つ\n- 二つ\n三つ", maximum_bullets=0.67) is None
    assert reason("続き…\n続き...\n終わり", maximum_ellipses=0.6) == "ellipses"
    assert reason("続き… \n続き\n終わり", maximum_ellipses=0.34) is None


def test_ends_of_lines():
    text = "見出し\n本文です。\n「そうか」\nつづき"
    assert reason(text, minimum_ended=0.5) is None
    assert reason(text, minimum_ended=0.51) == "unended_lines"
    assert reason(text, minimum_ended=0.26, brackets_end=False) == "unended_lines"
    assert reason(text, minimum_ended=0.25, brackets_end=False) is None
    assert reason("まさか…", minimum_ended=1, brackets_end=False) is None


def test_nothing_has_no_lines():
    assert reason("", maximum_short=0, minimum_ended=1) is None
    assert reason("\n \n", maximum_short=0, minimum_ended=1) is None
