import pytest
from raw import document

from preprocessing.filters.words import WordsFilter
from preprocessing.text.word_lists import own_list, read_words


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("# ours\n禁句\n忌み言葉\nアス\n", encoding="utf-8")
    return str(file)


def reason(text: str, path: str | list[str], **fields) -> str | None:
    return WordsFilter(of=path, **fields).reason(document(text))


def test_hits(path):
    assert reason("禁句、禁句、禁句", path, maximum_hits=3) is None
    assert reason("禁句、禁句、禁句、忌み言葉", path, maximum_hits=3) == "mine"


def test_different_words(path):
    assert reason("禁句" * 100, path, maximum_distinct=1) is None
    assert reason("禁句と忌み言葉", path, maximum_distinct=1) == "mine"


def test_share_of_japanese_letters(path):
    # 2 of 40 letters are 5 percent, which is too much.
    assert reason("禁句" + "あ" * 38, path, below_share=0.05) == "mine"
    assert reason("禁句" + "あ" * 39, path, below_share=0.05) is None


def test_katakana_stands_alone_unless_told_otherwise(path):
    assert reason("アスパラガス", path, maximum_hits=0) is None
    assert reason("アスパラガス", path, maximum_hits=0, stand_alone=False) == "mine"
    assert reason("ｱｽ", path, maximum_hits=0) == "mine"


def test_several_lists_are_judged_each_by_itself(path):
    text = "禁句、禁句、送料無料、期間限定"
    assert reason(text, [path, "ads"], maximum_hits=2) is None
    assert reason(text + "、在庫あり", [path, "ads"], maximum_hits=2) == "ads"
    assert reason(text + "、禁句", [path, "ads"], maximum_hits=2) == "mine"
    assert WordsFilter(of=(path, "ads"), maximum_hits=2).files() == (path, own_list("ads"))
    assert WordsFilter(of=("ads", "ads"), maximum_hits=2).problems() == ["of: two lists are named ads"]
    assert WordsFilter(of=(), maximum_hits=2).problems() == ["of: name at least one list"]


def test_problems(path, tmp_path):
    assert WordsFilter(of=path, maximum_hits=3).problems() == []
    assert WordsFilter(of=path).problems() == [
        "maximum_hits: set at least one of maximum_hits, maximum_distinct and below_share"
    ]
    assert WordsFilter(of="adlt", maximum_hits=1).problems() == [
        "of: no list 'adlt' in preprocessing/word_lists; did you mean 'adult'?"
    ]
    assert "No such file" in WordsFilter(of="nowhere.txt", maximum_hits=1).problems()[0]
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert "has no words" in WordsFilter(of=str(tmp_path / "empty.txt"), maximum_hits=1).problems()[0]
    (tmp_path / "sjis.txt").write_bytes("禁句".encode("cp932"))
    assert "utf-8" in WordsFilter(of=str(tmp_path / "sjis.txt"), maximum_hits=1).problems()[0]


def test_every_list_belongs_to_the_plan(path):
    assert WordsFilter(of=path, maximum_hits=1).files() == (path,)
    assert WordsFilter(of="ads", maximum_hits=1).files() == (own_list("ads"),)


@pytest.mark.parametrize("name", ["ads", "adult", "discrimination", "violence"])
def test_our_lists(name):
    words = list(read_words(own_list(name)))
    assert 10 < len(words) < 100
    assert all(len(word) > 1 for word in words)
    filter = WordsFilter(of=name, maximum_distinct=2)
    assert filter.problems() == []
    assert filter.reason(document("、".join(words[:3]))) == name
    assert filter.reason(document("市の図書館では、冬のあいだ毎週土曜日に昔話を聞く会を開いています。")) is None
