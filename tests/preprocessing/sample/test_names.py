"""Invented names."""

import re
from random import Random

from preprocessing.sample.names import NAMES

EXAMPLE_HOST = re.compile(r"[a-z.]+\.(example|example\.(jp|com|net|org))")


def test_every_name_has_its_parts_inside():
    rng = Random(2)
    for kind, make in NAMES.items():
        for _ in range(100):
            name = make(rng)
            written, reading = name[""]
            assert written
            assert re.fullmatch("[ぁ-ゖー]*", reading), kind
            for part in ("family", "given", "stem", "kind"):
                if part in name:
                    assert name[part][0] in written


def test_a_person_is_family_and_given_name():
    person = NAMES["person"](Random(3))
    assert person["family"][0] + person["given"][0] == person[""][0]
    assert person["family"][1] + person["given"][1] == person[""][1]


def test_names_are_many():
    rng = Random(4)
    assert len({NAMES["person"](rng)[""][0] for _ in range(2000)}) > 1900
    assert len({NAMES["town"](rng)[""][0] for _ in range(2000)}) > 1500


def test_a_place_in_katakana_is_its_reading():
    town = NAMES["town"](Random(5))
    hiragana = "".join(chr(ord(kana) - 0x60) if "ァ" <= kana <= "ヶ" else kana for kana in town["katakana"][0])
    assert hiragana == town["stem"][1]


def test_hosts_are_reserved_for_examples():
    rng = Random(6)
    for _ in range(300):
        assert EXAMPLE_HOST.fullmatch(NAMES["host"](rng)[""][0])
