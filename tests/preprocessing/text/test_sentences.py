from hypothesis import given
from hypothesis import strategies as st
from published_rules import split_into_sentences

from preprocessing.text.sentences import paragraphs, sentences, without_blank_lines

TEXTS = st.text(alphabet="あ。！?\n \u3000い", max_size=40)


def test_sentences():
    text = "今日は晴れ。明日は？\n 見出し \nそうか！"
    assert sentences(text) == ["今日は晴れ。", "明日は？", " 見出し ", "そうか！"]
    assert sentences("「なに？！」と言う。") == ["「なに？", "」と言う。"]
    assert sentences("。。\n！") == []


@given(TEXTS)
def test_sentences_and_paragraphs_as_published(text):
    expected = [split_into_sentences(line) for line in text.split("\n")]
    assert sentences(text) == [sentence for line in expected for sentence in line]
    assert paragraphs(text) == ["".join(line) for line in expected]


@given(st.text(alphabet="あ\n \u3000", max_size=20))
def test_blank_lines_as_defined(text):
    kept = [line for line in text.split("\n") if line.strip()]
    assert without_blank_lines(text) == ("\n".join(kept) if text.strip() else "")


def test_blank_lines():
    assert without_blank_lines("一\n\n 　\n二\n") == "一\n二"
    text = "一\n二"
    assert without_blank_lines(text) is text
    assert without_blank_lines("") == ""
