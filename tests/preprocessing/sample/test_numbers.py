"""Numbers and dates."""

import re
from random import Random

import pytest

from preprocessing.sample.numbers import TIMES, kanji_number, number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "〇"),
        (7, "七"),
        (15, "十五"),
        (40, "四十"),
        (108, "百八"),
        (1035, "千三十五"),
        (20_500, "二万五百"),
        (110_000, "十一万"),
        (98_765_432, "九千八百七十六万五千四百三十二"),
    ],
)
def test_kanji_numbers(value, expected):
    assert kanji_number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(950, "950"), (1200, "1,200"), (30_000, "3万"), (35_000, "3万5000"), (120_300, "12万300")]
)
def test_ascii_numbers(value, expected):
    assert number(value, "ascii") == expected


def test_dates_exist_and_keep_to_one_kind_of_digits():
    rng = Random(1)
    for make in TIMES.values():
        for _ in range(200):
            assert not re.search("[0-9]", make(rng, "kanji"))
            assert not re.search("[一二三四五六七八九十百千](?!曜)", make(rng, "ascii"))
    for _ in range(500):
        month, day = re.fullmatch(r"(\d+)月(\d+)日", TIMES["date"](rng, "ascii")).groups()
        assert 1 <= int(month) <= 12
        assert 1 <= int(day) <= (28 if month == "2" else 30)
