"""Check digits of numbers that name a person."""


def is_my_number(digits: str) -> bool:
    """Whether the last of 12 digits is the check digit of the others (行政手続番号法 総務省令 85, article 5).

    Counted from the right, the other 11 have the weights 2-7 and then 2-6; r is the sum modulo 11; 0 if r <= 1, else
    11 - r. One in ten random numbers passes.
    """
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(digits[:-1])))
    remainder = total % 11
    return int(digits[-1]) == (0 if remainder <= 1 else 11 - remainder)


def is_luhn(digits: str) -> bool:
    """Whether the digits of a card are valid (ISO/IEC 7812-1, annex B). One in ten random numbers passes."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0
