from raw import document

from preprocessing.filters.length import LengthFilter


def reason(text: str, **fields: int) -> str | None:
    return LengthFilter(**fields).reason(document(text))


def test_kept_and_dropped():
    assert reason("吾輩は猫である。", minimum=8) is None
    assert reason("吾輩は猫である", minimum=8) == "too_short"
    assert reason("吾輩は猫である。", minimum=1, maximum=8) is None
    assert reason("吾輩は猫である。。", minimum=1, maximum=8) == "too_long"
    assert reason("") == "too_short"


def test_characters_are_code_points():
    assert reason("𠮷野家", minimum=3) is None
    assert reason("𠮷野", minimum=3) == "too_short"


def test_limits_that_exclude_each_other():
    assert LengthFilter(minimum=10, maximum=9).problems() == ["maximum: 9 is below minimum 10"]
    assert LengthFilter(minimum=10).problems() == []
