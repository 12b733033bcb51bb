from raw import document

from preprocessing.filters.forum import ForumFilter


def reason(text: str, **fields) -> str | None:
    return ForumFilter(**fields).reason(document(text))


def test_more_marks_than_allowed():
    text = "2019/08/18(日) 投稿 コメント 第3話 2019年8月1日 レビュー"
    assert reason(text, maximum=7) is None
    assert reason(text, maximum=6) == "forum"
    assert reason("鏡餅", maximum=0) is None


def test_hyphens_only_when_asked_and_once():
    text = "a-b-c 2019-08-18"
    assert reason(text, maximum=1) is None
    assert reason(text, maximum=2, hyphens=True) == "forum"
    assert reason(text, maximum=3, hyphens=True) is None
