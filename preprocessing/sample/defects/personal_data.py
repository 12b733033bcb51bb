"""Invented personal data in many forms, and numbers that only look like it.

Nobody can be reached by them: telephone numbers have exchanges that begin with 0 and so are never given out, mail
goes to domains reserved for examples (RFC 2606; JPRS reserves example.jp and example.co.jp), postal codes begin with
000, card numbers are the published test numbers of the card schemes.
"""

from collections.abc import Callable, Sequence
from random import Random

from preprocessing.sample.defects.check_digits import corporate_number_check, isbn13_check, luhn_check, my_number_check
from preprocessing.sample.defects.planting import Planting

_CARDS = ("4111111111111111", "4242424242424242", "5555555555554444", "3530111333300000", "378282246310005")
_MAILBOXES = ("taro", "hanako", "info", "yamada.taro", "k_sato", "support", "y-tanaka", "web.master", "aoi2010")
_HYPHENS = "-----‐‑–－"
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}

_Made = tuple[str, str, str]
"""(kind, sentence with {} for the item, item)"""


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _numbers(text: str) -> list[int]:
    return [int(character) for character in text]


def _phone(rng: Random) -> _Made:
    hyphen = rng.choice(_HYPHENS)
    local, subscriber = "0" + _digits(rng, 3), _digits(rng, 4)
    area = rng.choice(("03", "06"))
    town = rng.choice(("045", "052", "0466", "0957", "09808"))
    inner = ("0" + _digits(rng, 5 - len(town)))[: 6 - len(town)]
    mobile = rng.choice(("090", "080", "070", "050"))
    number = rng.choice(
        (
            f"{mobile}{hyphen}{local}{hyphen}{subscriber}",
            f"{mobile}{local}{subscriber}",
            f"{area}{hyphen}{local}{hyphen}{subscriber}",
            f"({area}){local}-{subscriber}",
            f"{area}（{local}）{subscriber}",
            f"{town}{hyphen}{inner}{hyphen}{subscriber}",
            f"+81-{mobile[1:]}-{local}-{subscriber}",
            f"+81(0){area[1:]}-{local}-{subscriber}",
            f"{area}-{local}-{subscriber}".translate(_FULL_WIDTH),
        )
    )
    form = rng.choice(("電話は{}まで。", "TEL：{}", "連絡先 {}（夜間も可）", "携帯{}に連絡をください。", "FAX {}"))
    return "phone", form, number


def _mail(rng: Random) -> _Made:
    name = rng.choice(_MAILBOXES)
    domain = rng.choice(("example.com", "example.jp", "example.co.jp", "mail.example.org", "example.net"))
    at = rng.choice(("@", "@", "@", "@", "＠", "★", "[at]", "(アット)"))
    form = rng.choice(("メールは{}まで。", "連絡先{}まで。", "E-mail: {}", "ご意見は{}へお寄せください。"))
    return "mail", form, f"{name}{at}{domain}"


def _postal_code(rng: Random) -> _Made:
    code = f"〒000-{_digits(rng, 4)}"
    return "postal_code", "送り先は{} あさひ町一丁目です。", code.translate(_FULL_WIDTH) if rng.random() < 0.2 else code


def _my_number(rng: Random) -> _Made:
    body = _digits(rng, 11)
    number = body + str(my_number_check(_numbers(body)))
    if rng.random() < 0.5:
        number = rng.choice((" ", "-")).join((number[:4], number[4:8], number[8:]))
    return "my_number", rng.choice(("マイナンバーは{}です。", "個人番号：{}", "（マイナンバー {}）")), number


def _card(rng: Random) -> _Made:
    number = rng.choice(_CARDS)
    assert luhn_check(_numbers(number[:-1])) == int(number[-1])
    if len(number) == 16 and rng.random() < 0.7:
        number = rng.choice((" ", "-")).join(number[place : place + 4] for place in range(0, 16, 4))
    return "card", rng.choice(("カード番号は{}でした。", "クレジットカード {}")), number


def _isbn(rng: Random) -> _Made:
    body = "9784" + _digits(rng, 8)
    number = body + str(isbn13_check(_numbers(body)))
    return "isbn", "（ISBN {}）", f"{number[:3]}-{number[3]}-{number[4:8]}-{number[8:12]}-{number[12]}"


def _corporate_number(rng: Random) -> _Made:
    body = _digits(rng, 12)
    check = corporate_number_check(_numbers(body))
    return "corporate_number", "登録番号{}の事業者です。", f"T{check}{body}"


def _toll_free(rng: Random) -> _Made:
    number = rng.choice(("0120-000-000", "0570-000-000", "0800-000-0000"))
    return "toll_free", "お問い合わせ窓口は{}です。", number


def _years(rng: Random) -> _Made:
    first = rng.randint(1950, 2000)
    last = first + rng.randint(1, 20)
    years = rng.choice((f"{first}-{last}年", f"{first}～{last}年", f"{first}-{last}"))
    return "year_range", "{}の記録をまとめた。", years


def _price(rng: Random) -> _Made:
    return "price", "価格は{}だった。", rng.choice((f"{rng.randint(1000, 9_999_999):,}円", f"¥{_digits(rng, 3)}0"))


def _order(rng: Random) -> _Made:
    groups = f"2{_digits(rng, 3)}-{_digits(rng, 4)}-{_digits(rng, 4)}-{_digits(rng, 2)}"
    number = rng.choice((groups, "7" + _digits(rng, 12)))
    return "order_number", "注文番号は{}。", number


def _decimal(rng: Random) -> _Made:
    return "decimal", "測定した値は{}となった。", f"0.{_digits(rng, 10)}"


_PERSONAL: Sequence[Callable[[Random], _Made]] = (_phone, _phone, _phone, _mail, _mail, _postal_code, _my_number, _card)
_OTHER: Sequence[Callable[[Random], _Made]] = (_isbn, _corporate_number, _toll_free, _years, _price, _order, _decimal)


def plant_personal_data(rng: Random, planting: Planting) -> None:
    """One to three items of personal data, each in a sentence of its own."""
    _plant(rng, planting, _PERSONAL, "personal_data")


def plant_other_numbers(rng: Random, planting: Planting) -> None:
    """One to three numbers that are none."""
    _plant(rng, planting, _OTHER, "not_personal_data")


def _plant(rng: Random, planting: Planting, makers: Sequence[Callable[[Random], _Made]], type: str) -> None:
    for _ in range(rng.randint(1, 3)):
        kind, form, item = rng.choice(makers)(rng)
        place = form.index("{")
        ends = [place for place, character in enumerate(planting.clean) if character == "\n"] or [len(planting.clean)]
        planting.insert(rng.choice(ends), form.format(item), [(place, place + len(item), type, {"kind": kind})])
