import random
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.personal_data import PersonalDataMapper

ALL = ["phone", "mail", "postal_code", "my_number", "card", "ip", "toll_free", "line_id", "passport", "bank_account"]


def mapped(text: str, **fields: object) -> str:
    return PersonalDataMapper(**fields).map(document(text), Counter())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number",
    [
        *("090-1234-5678", "08012345678", "070-12345678", "05012345678", "060-1234-5678", "090 1234 5678"),
        *(
            "090‐1234‐5678",
            "090–1234–5678",
            "090－1234－5678",
            "０９０-１２３４-５６７８",
            "090(1234)5678",
            "(090)1234-5678",
        ),
        *("03-1234-5678", "045-123-4567", "0466-12-3456", "09808-1-2345", "0957-12-3456", "011-123-4567"),
        *("(03)1234-5678", "03（1234）5678", "（０３）１２３４－５６７８", "03 - 1234 - 5678", "045(123)4567"),
        *("+81-80-1234-5678", "+81(0)3-1234-5678", "+81 90 1234 5678", "+81312345678", "＋81-45-123-4567"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "受付は{}まで", "（{}）", "コーヒー{}、", "a: {}. b", "{}/{},{}", "1) {}"])
def test_telephones(number, form):
    assert mapped(form.replace("{}", number)) == form.replace("{}", "<phone>")


@pytest.mark.parametrize("keyword", ["電話", "TEL：", "ＴＥＬ", "fax. ", "携帯は", "連絡先 ", "☎"])
@pytest.mark.parametrize("number", ["0312345678", "03 1234 5678", "045.123.4567", "０４５１２３４５６７"])
def test_telephones_by_keyword(keyword, number):
    assert mapped(f"{keyword}{number}まで") == f"{keyword}<phone>まで"
    assert mapped(f"測定値は{number}だった") == f"測定値は{number}だった"


@pytest.mark.parametrize(
    "text",
    [
        "ISBN 978-4-10-101001-4",
        "円周率の値 0.1234567890",
        "0.09012345678",
        "1995-2001",
        "コーヒー0120",
        "0120-123-456",
        "0570-000-000",
        "0800-123-4567",
        "登録番号T7000012050002",
        "T 7000012050002",
        "法人番号7000012050002",
        "注文番号は2024-0312-3456-78。",
        "注文番号 090-1234-5678-1",
        "ab09012345678",
        "https://example.com/09012345678",
        "?id=09012345678",
        "123090-1234-5678",
        "2024-03-12 10:30:45",
        "2024年12月31日 1,234,567円",
        "第090-123-456号",
        "JAN 4901234567894",
        "4111 1111 1111 1112",  # no valid check digit
        "9111 1111 1111 1111",  # no issuer
        "123456789018",  # a My Number without a keyword
        "マイナンバーは123456789019",  # wrong check digit
        "100-0001です",
        "バージョン8.8.8.8",
        "8.8.8.8",
        "IPアドレス192.168.0.1",
        "IPアドレス999.8.8.8",
        "icon@2x.png",
        "価格は@100円",
        "星★example",
        "A★B.go",
        "foo@bar",
        "会員番号1234567",
        "TK1234567",
        "01-2345-6789",  # no area code
        "03-123-4567",  # nine digits
        "普通の年でも来場者は1234567人",
        "普通列車の累計利用者は3456789人",
        "普通自動車は1234567台",
        "当座の目標は2000000円",
        "口座残高は1500000円",
        "銀行口座の開設数は7654321件",
        "口座は1234567件、普通預金は3000000円",
        "普通は1234567だ",
        "型番 050 2000 3000",
        "番号は080 1200 1500 2000",
        "型番012-345-6789",
        "img_090_1234_5678.jpg",
        "出版社は8.8.8.8",
        "SHIPPING 8.8.8.8",
        "IP v8.8.8.8",
        "アドレスは第2版 8.8.8.8",
        "https://example.com/@taro.com",
        "ab1.090-1234-5678",
        "12 @ 34.56",
    ],
)
def test_other_numbers_stay(text):
    assert mapped(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("〒100-0001 東京都", "<postal_code> 東京都"),
        ("〒１００－０００１", "<postal_code>"),
        ("〒 1000001", "<postal_code>"),
        ("100-0001 東京都千代田区", "<postal_code> 東京都千代田区"),
        ("123-4567\n神奈川県", "<postal_code>\n神奈川県"),
        ("郵便番号：123-4567", "郵便番号：<postal_code>"),
        ("連絡先info@example.comまで", "連絡先<mail>まで"),
        ("taro.yamada@example.co.jp", "<mail>"),
        ("メーカーinfo＠example．jp。", "メーカー<mail>。"),
        ("ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ", "<mail>"),
        (
            "web★example.com web[at]example.com web(アット)example.com web（at）example.jp",
            "<mail> <mail> <mail> <mail>",
        ),
        ("info@example[dot]com", "<mail>"),
        ("<a.b-c_d+e@mail.example.org>", "<<mail>>"),
        ("09012345678@docomo.example.jp", "<mail>"),
        ("マイナンバーは123456789018です", "マイナンバーは<my_number>です"),
        ("個人番号：1234-5678-9018", "個人番号：<my_number>"),
        ("１２３４ ５６７８ ９０１８（マイナンバー）", "<my_number>（マイナンバー）"),
        ("カード番号は4111 1111 1111 1111でした", "カード番号は<card>でした"),
        ("4242424242424242", "<card>"),
        ("3782-822463-10005、378282246310005", "<card>、<card>"),
        ("クレジットカード30569309025904", "クレジットカード<card>"),
        ("IPアドレスは8.8.8.8です", "IPアドレスは<ip>です"),
        ("旅券番号 TK1234567", "旅券番号 <passport>"),
        ("口座番号 普通 1234567", "口座番号 普通 <bank_account>"),
        ("普通預金口座 No.1234567", "普通預金口座 No.<bank_account>"),
        ("口座番号は１２３４５６７です", "口座番号は<bank_account>です"),
        ("口座番号は 普通 / 1234567", "口座番号は 普通 / <bank_account>"),
        ("当座：1234567、（普）7654321", "当座：<bank_account>、（普）<bank_account>"),
        ("serverのIPアドレスは8.8.8.8", "serverのIPアドレスは<ip>"),
        ("出版社のホストは8.8.8.8", "出版社のホストは<ip>"),
        ("REMOTE_ADDR: 8.8.8.8", "REMOTE_ADDR: <ip>"),
        ("Taro.Yamada@Example.Com", "<mail>"),
        ("INFO@Example.Co.Jp", "<mail>"),
        ("a@example.com.Next", "<mail>.Next"),
        ("taro/yamada@ezweb.ne.jp", "<mail>"),
        ("what?taro's@example.com", "<mail>"),
        ("'taro@example.com'", "'<mail>'"),
        ("ftp://example.org/a/taro@example.com", "ftp://example.org/a/<mail>"),
        ("連絡はtaro@例え.jpへ", "連絡は<mail>へ"),
        ("taro @ example.com", "<mail>"),
        ("1.090-1234-5678", "1.<phone>"),
        ("3-090-1234-5678", "3-<phone>"),
        ("2.03-1234-5678", "2.<phone>"),
        ("0081-90-1234-5678", "<phone>"),
        ("010-81-3-1234-5678", "<phone>"),
        ("090_1234_5678", "<phone>"),
        ("電話番号は090 1234 5678", "電話番号は<phone>"),
    ],
)
def test_other_kinds(text, expected):
    assert mapped(text) == expected


def test_kinds_on_request():
    text = "0120-123-456 LINE ID：taro_2020 @taro_yamada さん"
    assert mapped(text) == text
    masked = mapped(text, kinds=["toll_free", "line_id", "account_name"])
    assert masked == "<toll_free> LINE ID：<line_id> <account_name> さん"
    assert mapped("090-1234-5678 a@example.com", kinds=["mail"]) == "090-1234-5678 <mail>"
    assert mapped("a★example.com b@example.com", disguised_mail=False) == "a★example.com <mail>"
    assert mapped("090-1234-5678", placeholders={"phone": "［電話］"}) == "［電話］"


def test_problems():
    assert PersonalDataMapper(placeholders={"fax": "x"}).problems()[0].startswith("placeholders: fax is none of phone,")
    assert PersonalDataMapper(kinds=()).problems() == ["kinds: name at least one"]
    assert PersonalDataMapper().problems() == []


def test_items_are_tallied():
    tally: Counter[str] = Counter()
    PersonalDataMapper().map(document("090-1234-5678、03-1234-5678、a@example.com"), tally)
    assert tally == {"phone": 2, "mail": 1}


PIECES = st.sampled_from(
    [
        "0",
        "90",
        "1234",
        "-",
        "－",
        "ー",
        "(",
        "）",
        " ",
        "+81",
        "〒",
        "@",
        "＠",
        "a.com",
        "★",
        "電話",
        "口座",
        "あ",
        "T",
        ".",
        "\n",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_spans_are_in_order_and_a_second_pass_finds_nothing_new(text):
    mapper = PersonalDataMapper(kinds=tuple(ALL))  # type: ignore[arg-type]
    found = mapper.find(text)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(0 <= item.start < item.end <= len(text) for item in found)
    assert len(re.findall("<[a-z_]+>", mapped(text, kinds=ALL))) == len(found)


def test_numbers_in_a_long_text_are_found_wherever_they_stand():
    # Windows around runs of digits must neither lose nor repeat anything.
    rng = random.Random(0)
    items = ["090-1234-5678", "03(1234)5678", "+81-90-1234-5678", "〒123-4567", "4111-1111-1111-1111"]
    parts = [rng.choice(items) + rng.choice(["、", "と", "\n", "あ" * 30, " / "]) for _ in range(1000)]
    assert len(PersonalDataMapper().find("".join(parts))) == 1000


@pytest.mark.parametrize("piece", ["0", "0-", "090-", "1 ", "@", "a@", "a.", "(", "+81-", "11" + "-" * 100])
def test_repeated_pieces_are_no_attack(piece):
    mapped(piece * (60_000 // len(piece)))
