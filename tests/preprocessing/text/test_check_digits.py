import pytest

from preprocessing.text.check_digits import is_luhn, is_my_number


def test_published_examples():
    assert is_my_number("123456789018")
    assert is_luhn("4111111111111111")
    assert is_luhn("378282246310005")


@pytest.mark.parametrize(
    ("check", "number", "place"),
    [(is_my_number, "123456789018", -1), (is_luhn, "4242424242424242", -1)],
)
def test_only_one_check_digit_is_right(check, number, place):
    digits = [list(number) for _ in range(10)]
    for value, item in enumerate(digits):
        item[place] = str(value)
    assert sum(check("".join(item)) for item in digits) == 1
