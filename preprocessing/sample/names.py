"""Invented names of people, places, companies and hosts. Nobody and nothing real is meant.

A maker returns the parts of a name: `""` is the whole, the others are reached as `{hero.given}`. Each part comes with
its reading in kana where it has one.
"""

from collections.abc import Callable, Mapping
from random import Random

from preprocessing.sample.lexicon import load_lexicon

Name = Mapping[str, tuple[str, str]]
"""Part -> (as written, reading or "")."""
_SYLLABLES = tuple(consonant + vowel for consonant in "kstnhmyr" for vowel in "aiueo")
_KATAKANA = {code: code + 0x60 for code in range(ord("ぁ"), ord("ゖ") + 1)}


def _word(rng: Random, word_class: str) -> tuple[str, str]:
    lexicon = load_lexicon()
    word = rng.choice(lexicon.classes[word_class])
    return word, lexicon.readings[word_class].get(word, "") if word_class in lexicon.readings else ""


def _compound(rng: Random, first_class: str, second_class: str) -> tuple[str, str]:
    """Two parts of which the second neither repeats nor contains the first."""
    first, first_reading = _word(rng, first_class)
    while True:
        second, second_reading = _word(rng, second_class)
        if first not in second and first_reading != second_reading:
            return first + second, first_reading + second_reading


def _person(given_class: str) -> Callable[[Random], Name]:
    def make(rng: Random) -> Name:
        family, family_reading = _compound(rng, "family_first", "family_second")
        given, given_reading = _word(rng, given_class)
        return {
            "": (family + given, family_reading + given_reading),
            "family": (family, family_reading),
            "given": (given, given_reading),
            "kana": (f"{family_reading} {given_reading}", ""),
        }

    return make


def person(rng: Random) -> Name:
    """A man or a woman."""
    return _person(rng.choice(("man_name", "woman_name")))(rng)


def _place(suffixes: str) -> Callable[[Random], Name]:
    """A place and its kind: 葦原町 with the parts `stem` (葦原) and `kind` (町)."""
    readings = {
        "市": "し", "町": "ちょう", "村": "むら", "川": "がわ", "山": "やま", "岳": "だけ", "湖": "こ", "島": "じま",
        "駅": "えき", "寺": "じ", "神社": "じんじゃ", "城": "じょう", "街道": "かいどう", "半島": "はんとう",
        "峠": "とうげ", "温泉": "おんせん", "港": "こう",
    }  # fmt: skip

    def make(rng: Random) -> Name:
        kind = rng.choice(suffixes.split())
        while True:
            stem, reading = _compound(rng, "place_first", "place_second")
            if not stem.endswith(tuple(suffixes.split())):
                break
        whole, full = stem + kind, reading + readings[kind]
        katakana = reading.translate(_KATAKANA)
        return {
            "": (whole, full),
            "stem": (stem, reading),
            "kind": (kind, ""),
            "full": (full, ""),
            "katakana": (katakana, ""),
        }

    return make


def _company(rng: Random) -> Name:
    stem = rng.choice((_compound(rng, "family_first", "family_second")[0], _word(rng, "brand_katakana")[0]))
    kind = _word(rng, "brand_kind")[0]
    full = rng.choice((f"株式会社{stem}{kind}", f"{stem}{kind}株式会社", f"有限会社{stem}{kind}"))
    return {"": (stem + kind, ""), "full": (full, ""), "stem": (stem, "")}


def _shop_name(rng: Random) -> Name:
    stem = _compound(rng, "family_first", "family_second")[0]
    kind = rng.choice(("堂", "屋", "庵", "亭", "軒", "商店", "本舗", "食堂", "茶房", "工房", "書店", "園"))
    return {"": (stem + kind, "")}


def _host(rng: Random) -> Name:
    """A host below the domains that RFC 2606 and 6761 reserve for examples."""
    label = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))
    domain = rng.choice(("example.jp", "example.com", "example.net", "example.org", "example"))
    prefix = rng.choice(("www.", "blog.", "", "shop.", "news."))
    return {"": (f"{prefix}{label}.{domain}", "")}


NAMES: Mapping[str, Callable[[Random], Name]] = {
    "person": person,
    "man": _person("man_name"),
    "woman": _person("woman_name"),
    "city": _place("市"),
    "town": _place("市 町 町 村"),
    "village": _place("村"),
    "river": _place("川"),
    "mountain": _place("山 岳"),
    "lake": _place("湖"),
    "island": _place("島"),
    "station": _place("駅"),
    "temple": _place("寺 神社"),
    "castle": _place("城"),
    "road": _place("街道"),
    "peninsula": _place("半島"),
    "pass": _place("峠"),
    "spa": _place("温泉"),
    "company": _company,
    "shop_name": _shop_name,
    "host": _host,
}
"""What a template may call by name."""
