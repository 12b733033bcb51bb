from collections import Counter
from pathlib import Path

import pytest
from raw import document

from preprocessing import presets
from preprocessing.config import SourceConfig
from preprocessing.step import Filter, Mapper

FOLDER = Path(presets.__file__).parent
PROSE = """\
山あいの集落では、味噌を仕込む日になると朝早くから大鍋に湯が沸き、近所の人たちが手伝いに集まってきます。
蒸し上がった大豆は熱いうちにつぶさなければならず、子どもも大人も並んで杵を握りました。
麹は前の週から土間の奥で育ててあり、白い花が咲いたように見えるころが使いごろだと祖母に教わったものです。
塩の量は家ごとに少しずつ違っていて、海に近い親戚の味噌はずいぶん辛かったと母は笑います。
樽に詰め終えると、重しの石を川原まで探しに行くのが私たち兄弟の役目でした。
丸くて平たい石を見つけた年は、よい味に仕上がると信じられていたからです。
夏を越した味噌は色が濃くなり、ふたを開けた瞬間に蔵じゅうへ香りが広がりました。
父はまず一さじを神棚に供え、それから汁にして家族みんなで味見をしました。
いまでは仕込む家も三軒だけになり、公民館で講習会を開いて技を伝えています。
去年は町の学校から二十人ほどの生徒が訪れ、初めて見る道具に目を輝かせていました。
彼らが持ち帰った小さな樽は、それぞれの台所で静かに熟しているはずです。
来年の春、味比べの会を開く約束になっているので、いまから楽しみでなりません。
古い帳面には、豆の産地や天気の記録が几帳面な字で残されており、読み返すたびに新しい発見があります。
"""


def source(name: str) -> SourceConfig:
    return SourceConfig(reader={"type": "text"}, paths=("a.txt",), steps=({"preset": name},))


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_builds_and_says_where_it_comes_from(name):
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")
    assert source(name).problems() == []
    assert len(source(name).build_steps()) == len(source(name).steps)


@pytest.mark.parametrize("name", presets.names())
def test_no_filter_of_a_preset_drops_plain_prose(name):
    filters = [step for step in source(name).build_steps() if isinstance(step, Filter)]
    reasons = {type(step).__name__: step.reason(document(PROSE)) for step in filters}
    assert {step: reason for step, reason in reasons.items() if reason} == {}


def test_web_drops_what_is_no_prose():
    filters = [step for step in source("web").build_steps() if isinstance(step, Filter)]

    def dropped(text: str) -> bool:
        return any(step.reason(document(text)) for step in filters)

    menu = "\n".join(["ホーム", "会社案内", "お問い合わせ", "サイトマップ", "アクセス", "採用情報"] * 8)
    shop = "\n".join(f"商品番号{n} 送料無料 期間限定 クーポン 在庫あり 即日発送 ログイン 激安" for n in range(30))
    assert dropped(menu)
    assert dropped(shop)
    assert dropped("This page is written in English. " * 30)
    assert dropped("あなたに幸運が訪れます。" * 60)
    assert not dropped(PROSE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", "電話<phone>、<mail>、<postal_code>"),
        ("wiki", "電話<phone>、<mail>、<postal_code>"),
        ("docs", "電話<phone>、<mail>、<postal_code>"),
        ("tweets", "電話<phone>、<mail>、<postal_code>"),
        ("fineweb2-ja", "電話090-1234-5678、<mail>、〒100-0001"),
        ("hojichar", "電話<phone>、<mail>、〒100-0001"),
        ("books", "電話090-1234-5678、taro@example.com、〒100-0001"),
        ("swallow", "電話090-1234-5678、taro@example.com、〒100-0001"),
    ],
)
def test_what_each_preset_masks(name, expected):
    item = document("電話090-1234-5678、taro@example.com、〒100-0001")
    for step in source(name).build_steps():
        if isinstance(step, Mapper):
            item.text = step.map(item, Counter())
    assert item.text == expected


def test_web_drops_foreign_pages_before_it_reads_their_lines():
    types = [step["type"] for step in source("web").steps]
    assert types.index("script") < min(types.index(name) for name in ("unicode", "lines", "personal_data"))
    checked = {"characters", "length", "swallow"} & set(types)
    assert checked == {"swallow"}


def test_published_mappers_of_swallow_are_as_published():
    mappers = [step for step in source("swallow").steps if step["type"] in ("swallow_footer", "kutoten")]
    assert [step.get("published") for step in mappers] == [True, True]
