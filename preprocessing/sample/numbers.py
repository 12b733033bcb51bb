"""Numbers, dates and hours as they are written in Japanese, in digits or in kanji."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Literal

Digits = Literal["ascii", "kanji"]
_KANJI = "〇一二三四五六七八九"
_ERAS = {"明治": (1868, 45), "大正": (1912, 15), "昭和": (1926, 64), "平成": (1989, 31), "令和": (2019, 6)}
WEEKDAYS = "月火水木金土日"


def kanji_number(value: int) -> str:
    """0 <= value < 10^8 with units: 1035 -> 千三十五, 20500 -> 二万五百."""
    if value == 0:
        return _KANJI[0]
    high, low = divmod(value, 10_000)
    text = f"{kanji_number(high)}万" if high else ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, low = divmod(low, unit)
        if digit:
            text += ("" if digit == 1 and name else _KANJI[digit]) + name
    return text


def number(value: int, digits: Digits) -> str:
    """A quantity: 950, 1,200, 3万5000; in kanji 九百五十, 千二百, 三万五千."""
    if digits == "kanji":
        return kanji_number(value)
    if value < 10_000:
        return f"{value:,}"
    high, low = divmod(value, 10_000)
    return f"{high}万{low or ''}"


def _year(rng: Random, digits: Digits) -> str:
    if digits == "kanji":
        return _era_year(rng, digits)
    return f"{rng.randint(1890, 2023)}年"


def _recent_year(rng: Random, digits: Digits) -> str:
    return f"{rng.randint(2009, 2024)}年" if digits == "ascii" else f"令和{kanji_number(rng.randint(2, 6))}年"


def _era_year(rng: Random, digits: Digits) -> str:
    era = rng.choice(tuple(_ERAS))
    year = rng.randint(2, _ERAS[era][1])
    return f"{era}{number(year, digits)}年"


def _date(rng: Random, digits: Digits) -> str:
    month = rng.randint(1, 12)
    day = rng.randint(1, 28 if month == 2 else 30)
    return f"{number(month, digits)}月{number(day, digits)}日"


def _day(rng: Random, digits: Digits) -> str:
    return f"{number(rng.randint(1, 30), digits)}日"


def _month(rng: Random, digits: Digits) -> str:
    return f"{number(rng.randint(1, 12), digits)}月"


def _weekday(rng: Random, digits: Digits) -> str:
    return f"{rng.choice(WEEKDAYS)}曜日"


def _clock(rng: Random, digits: Digits) -> str:
    half = rng.choice(("", "", "半", f"{number(rng.randrange(5, 60, 5), digits)}分"))
    return f"{rng.choice(('午前', '午後'))}{number(rng.randint(1, 11), digits)}時{half}"


def _morning_clock(rng: Random, digits: Digits) -> str:
    return f"午前{number(rng.randint(5, 11), digits)}時{rng.choice(('', '半', 'すぎ', 'ごろ'))}"


def _decimal(rng: Random, digits: Digits) -> str:
    whole, tenth = rng.randint(1, 30), rng.randint(1, 9)
    return f"{whole}.{tenth}" if digits == "ascii" else f"{kanji_number(whole)}・{_KANJI[tenth]}"


TIMES: Mapping[str, Callable[[Random, Digits], str]] = {
    "year": _year,
    "recent_year": _recent_year,
    "era_year": _era_year,
    "date": _date,
    "day": _day,
    "month": _month,
    "weekday": _weekday,
    "clock": _clock,
    "morning_clock": _morning_clock,
    "decimal": _decimal,
}
"""What a template may call by name."""
