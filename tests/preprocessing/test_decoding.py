import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.decoding import Undecodable, decode

ALL = ("utf-8", "cp932", "euc-jp")
SENTENCE = "吾輩は猫である。名前はまだ無い。"


@pytest.mark.parametrize("encoding", ALL)
def test_the_first_encoding_that_fits_is_taken(encoding):
    assert decode(SENTENCE.encode(encoding), ALL) == SENTENCE


def test_cp932_has_what_shift_jis_lacks():
    assert decode("髙橋㈱①".encode("cp932"), ALL) == "髙橋㈱①"
    assert decode(b"\x81\x60", ("cp932",)) == "\uff5e"


@given(st.text().filter(lambda text: "\0" not in text and not text.startswith("\ufeff")))
def test_utf8_always_comes_back(text):
    assert decode(text.encode(), ("utf-8",)) == text


def test_a_byte_order_mark_is_dropped():
    assert decode(b"\xef\xbb\xbf" + SENTENCE.encode(), ("utf-8",)) == SENTENCE


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (SENTENCE.encode("cp932"), "encoding"),
        (SENTENCE.encode()[:-1], "encoding"),
        (SENTENCE.encode("utf-16"), "utf16"),
        (b"\x7fELF\0\0", "binary"),
        (b"\xed\xa0\xbd", "encoding"),
    ],
)
def test_what_does_not_fit_has_a_reason(raw, reason):
    with pytest.raises(Undecodable, match=reason):
        decode(raw, ("utf-8",))
