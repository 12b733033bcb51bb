"""Check digits against numbers that are known to be valid."""

import pytest

from preprocessing.sample.defects.check_digits import corporate_number_check, isbn13_check, luhn_check, my_number_check


def digits(text):
    return [int(character) for character in text if character.isdigit()]


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (my_number_check, "123456789018"),
        (isbn13_check, "978-4-10-101001-4"),
        (luhn_check, "4111 1111 1111 1111"),
        (luhn_check, "3782 822463 10005"),
    ],
)
def test_the_last_digit_checks_the_others(check, number):
    *body, last = digits(number)
    assert check(body) == last
    body[3] = (body[3] + 1) % 10
    assert check(body) != last


def test_the_first_digit_of_a_corporate_number_checks_the_others():
    first, *body = digits("7000012050002")
    assert corporate_number_check(body) == first


@pytest.mark.parametrize(("body", "expected"), [("00000000000", 0), ("00000000006", 0), ("00000000001", 9)])
def test_a_remainder_of_0_or_1_is_check_digit_0(body, expected):
    # The last digit has the weight 2: 6 gives the remainder 1, 1 the remainder 2.
    assert my_number_check(digits(body)) == expected
