"""Personal data: valid in form, nobody's in fact; and numbers that only look like it."""

import re
import unicodedata
from collections import defaultdict
from random import Random

import pytest

from preprocessing.sample.defects.personal_data import plant_other_numbers, plant_personal_data
from preprocessing.sample.defects.planting import Planting


def ascii_digits(item):
    return "".join(character for character in unicodedata.normalize("NFKC", item) if character.isdigit())


@pytest.fixture(scope="module")
def items():
    """Kind -> planted items."""
    found = defaultdict(list)
    for seed in range(600):
        for plant, type in ((plant_personal_data, "personal_data"), (plant_other_numbers, "not_personal_data")):
            planting = Planting("一行目。\n二行目。")
            plant(Random(seed), planting)
            raw, defects = planting.raw()
            for defect in defects:
                assert defect.type == type
                assert raw[defect.start : defect.end] == defect.found
                found[defect.details["kind"]].append(defect.found)
    return found


def test_all_kinds_occur(items):
    assert items.keys() == {
        *("phone", "mail", "postal_code", "my_number", "card"),
        *("isbn", "corporate_number", "toll_free", "year_range", "price", "order_number", "decimal"),
    }


def test_telephone_numbers_are_of_no_subscriber(items):
    forms = {re.sub("[0-9]", "0", unicodedata.normalize("NFKC", item)) for item in items["phone"]}
    assert len(forms) > 12
    for item in items["phone"]:
        number = ascii_digits(item.replace("(0)", "", 1) if item.startswith("+81") else item)
        number = "0" + number.removeprefix("81") if item.startswith("+81") else number
        assert len(number) in (10, 11)
        # The local part, between area code and the last four digits, begins with 0.
        areas = ("03", "06", "045", "052", "0466", "0957", "09808", "090", "080", "070", "050")
        assert any(number.startswith(area + "0") or area == "09808" == number[:5] for area in areas)


def test_mail_goes_to_domains_for_examples(items):
    for item in items["mail"]:
        name, domain = re.split(r"@|＠|★|\[at\]|\(アット\)", item)
        assert re.fullmatch(r"[a-z0-9._-]+", name)
        assert re.fullmatch(r"(mail\.)?example\.(com|jp|co\.jp|org|net)", domain)


def test_my_numbers_have_the_right_check_digit(items):
    # Written out from the ordinance: Q_n for the n-th digit from the right, without the check digit.
    for item in items["my_number"]:
        number = ascii_digits(item)
        assert len(number) == 12
        total = sum(int(number[-1 - n]) * (n + 1 if n <= 6 else n - 5) for n in range(1, 12))
        rest = total % 11
        assert int(number[-1]) == (0 if rest <= 1 else 11 - rest)


def test_cards_pass_luhn(items):
    for item in items["card"]:
        number = ascii_digits(item)
        doubled = [sum(map(int, str(int(digit) * 2))) for digit in number[-2::-2]]
        assert (sum(doubled) + sum(map(int, number[-1::-2]))) % 10 == 0


def test_isbns_are_valid(items):
    for item in items["isbn"]:
        number = ascii_digits(item)
        assert len(number) == 13
        assert sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(number)) % 10 == 0
