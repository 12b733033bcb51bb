import pytest
from raw import document

from preprocessing.filters.mojibake import MojibakeFilter

SENTENCE = "これは文字化けの試験です。コンピューターで日本語の文章を読むときに、文字コードを間違えることがあります。"


def reason(text: str) -> str | None:
    return MojibakeFilter().reason(document(text))


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE,
        "糸が縺れる。繧繝縁の畳に座る。" + SENTENCE,
        "Ça va? São Paulo, mañana, Ærøskøbing, naïve café",
        "ﾊﾟﾝ､ｺｰﾋｰ､ﾐﾙｸ｡ｱﾘｶﾞﾄｳ･ｺﾞｻﾞｲﾏｽ｡",
        "ƒ(x) = x‚ y‚ z",
        SENTENCE * 100 + "\ufffd",
    ],
)
def test_kept(text):
    assert reason(text) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [("utf-8", "cp932"), ("utf-8", "latin-1"), ("utf-8", "cp1252"), ("euc-jp", "cp932"), ("cp932", "cp1252")],
)
def test_wrong_encodings_are_dropped(written, read):
    broken = SENTENCE.encode(written).decode(read, "ignore")
    assert reason(broken) == "mojibake"
    assert reason(SENTENCE + broken + SENTENCE) == "mojibake"


def test_cp932_read_as_latin_1():
    assert reason(SENTENCE.encode("cp932").decode("latin-1")) == "mojibake"


def test_replacement_characters_are_dropped():
    assert reason(SENTENCE.encode("cp932").decode("utf-8", "replace")) == "replacement_characters"
    assert reason(SENTENCE + "\ufffd") == "replacement_characters"
