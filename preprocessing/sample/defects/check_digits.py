"""Check digits of the numbers that personal data rules look for, and of some that they must leave alone."""

from collections.abc import Sequence


def my_number_check(body: Sequence[int]) -> int:
    """Check digit of the 11 digits of a My Number (行政手続番号法 総務省令 85, article 5).

    Counted from the right, digits have the weights 2-7 and then 2-6; r is the sum modulo 11; 0 if r <= 1, else 11 - r.
    """
    weights = (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)
    remainder = sum(digit * weight for digit, weight in zip(reversed(body), weights, strict=True)) % 11
    return 0 if remainder <= 1 else 11 - remainder


def corporate_number_check(body: Sequence[int]) -> int:
    """Leading check digit of the 12 digits of a corporate number: 9 - (sum of weights 1, 2 from the right mod 9)."""
    return 9 - sum(digit * (1 + place % 2) for place, digit in enumerate(reversed(body))) % 9


def luhn_check(body: Sequence[int]) -> int:
    """Check digit of a card number without it (ISO/IEC 7812-1, annex B)."""
    doubled = (digit * 2 if place % 2 == 0 else digit for place, digit in enumerate(reversed(body)))
    return -sum(value - 9 if value > 9 else value for value in doubled) % 10


def isbn13_check(body: Sequence[int]) -> int:
    """Check digit of the first 12 digits of an ISBN-13: weights 1 and 3 in turn."""
    return -sum(digit * (1, 3)[place % 2] for place, digit in enumerate(body)) % 10
