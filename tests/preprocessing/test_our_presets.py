from pathlib import Path

import pytest
from raw import document

from preprocessing import presets
from preprocessing.config import SourceConfig
from preprocessing.step import Filter

FOLDER = Path(presets.__file__).parent
PROSE = "\n".join(
    f"{number}番目の村では、{thing}を作る人が{day}に集まって、古い道具の手入れをしながら昔の話を{verb}のでした。"
    f"{food}のにおいが{place}まで届くころ、子どもたちは{game}に夢中で、だれも家へ帰ろうとしません。"
    for number, thing, day, verb, food, place, game in [
        ("一", "味噌", "冬至の朝", "聞かせてくれた", "甘酒", "峠の茶屋", "独楽回し"),
        ("二", "藍染めの布", "春祭りの前の日", "くりかえし語った", "草餅", "川の渡し場", "石蹴り"),
        ("三", "竹かご", "梅雨の晴れ間", "笑い合って楽しむ", "焼き魚", "学校の裏庭", "なわとび"),
        ("四", "和紙", "秋の彼岸", "静かに書きとめる", "栗ご飯", "神社の石段", "かくれんぼ"),
        ("五", "塩", "新月の夜", "ひそひそと交わす", "干物", "港の倉庫", "影ふみ"),
        ("六", "漆の椀", "盆の入り", "若い者に教える", "うどん", "駅前の広場", "花火"),
        ("七", "炭", "初雪の日", "火を囲んで続ける", "鍋", "水車小屋", "雪合戦"),
    ]
)


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
