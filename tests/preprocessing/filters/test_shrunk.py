from raw import document

from preprocessing.filters.shrunk import ShrunkFilter


def reason(before: int, after: int, **fields: float) -> str | None:
    item = document("あ" * before)
    item.text = item.text[:after]
    return ShrunkFilter(**fields).reason(item)


def test_share_that_is_gone():
    assert reason(10, 3) is None  # exactly 70 % lost
    assert reason(10, 2) == "lost"
    assert reason(10, 10) is None
    assert reason(0, 0) is None
    assert reason(10, 9, maximum_lost=0.0) == "lost"
    assert reason(10, 0, maximum_lost=1.0) is None


def test_a_longer_text_is_kept():
    item = document("あ")
    item.text = "あ" * 5
    assert ShrunkFilter().reason(item) is None
