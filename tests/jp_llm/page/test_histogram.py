from xml.etree import ElementTree

from jp_llm.page.histogram import bar, histogram


def test_the_tallest_bar_is_as_high_as_the_picture_and_the_others_in_proportion():
    picture = ElementTree.fromstring(histogram("a<b", ["1", "2"], [[4, 0], [1, 2]], 100))
    heights = [rectangle.get("height") for rectangle in picture.iter("rect")]
    assert heights == ["110", "27.5", "0", "55"]
    assert next(picture.iter("text")).text == "a<b"
    assert [tip.text for tip in picture.iter("title")] == ["1: 4", "1: 1", "2: 0", "2: 2"]


def test_nothing_to_show_is_an_empty_picture():
    assert list(ElementTree.fromstring(histogram("none", [], [[], []], 100)).iter("rect")) == []
    assert [box.get("height") for box in ElementTree.fromstring(histogram("0", ["a"], [[0]], 9)).iter("rect")] == ["0"]


def test_a_bar_stays_in_its_cell():
    assert [bar(share, "kept").split("width:")[1][:6] for share in (-1, 0.5, 3)] == ['0.00%"', "50.00%", "100.00"]
