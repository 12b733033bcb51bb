import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.text.characters import codes_of
from preprocessing.text.folding import fold, folded


def test_width_and_case():
    assert fold("ＡＢＣ　Ａｂ１！ｶﾞｯｺｳ　コーヒー") == "abc ab1!ガッコウ コーヒー"
    assert fold("㈱①…ﾊﾟ") == "㈱1…パ"
    assert fold("漢字かなカナ") == "漢字かなカナ"
    assert fold("") == ""


@given(st.text())
def test_as_nfkc_where_that_gives_one_character(text):
    text = text.replace("\uff9e", "").replace("\uff9f", "")
    single = [form if len(form) == 1 else letter for letter in text for form in [_form(letter)]]
    # Plane 1 beyond the mathematical letters is left as it is.
    assert all(a == b or ord(c) > 0xFFFF for a, b, c in zip(fold(text), single, text, strict=True))


def _form(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter).lower()


@given(st.text(alphabet="ｶﾞﾊﾟＡあ"))
def test_text_and_codes_agree(text):
    found, codes = folded(text, codes_of(text))
    assert codes_of(found).tolist() == codes.tolist()
    assert fold(found) == found
