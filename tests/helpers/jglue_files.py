"""A JGLUE of a few invented questions, in the format of the real one."""

import json
from pathlib import Path
from typing import Any

JCOMMONSENSEQA = [
    ("空から降る水は？", ("雨", "石", "本", "靴", "犬"), 0),
    ("夜に光るのは？", ("机", "月", "水", "紙", "米"), 1),
    ("本を借りる所は？", ("海", "山", "図書館", "川", "空"), 2),
    ("鳴く動物は？", ("石", "紙", "水", "猫", "机"), 3),
    ("冬に降るのは？", ("本", "靴", "机", "米", "雪"), 4),
    ("朝に昇るのは？", ("日", "犬", "靴", "猫", "紙"), 0),
]
JNLI = [
    ("猫が寝ている。", "動物がいる。", "entailment"),
    ("空は青い。", "空は赤い。", "contradiction"),
    ("父が歩く。", "母が笑う。", "neutral"),
    ("雪が降る。", "白い雪だ。", "entailment"),
    ("海は静かだ。", "海は荒れている。", "contradiction"),
    ("町に人がいる。", "人は本を読む。", "neutral"),
]
JSQUAD = [
    ("川", "川の水は海へ行く。", "水はどこへ行く？", ("海", "海へ")),
    ("町", "町の図書館は古い。", "古いのは？", ("図書館",)),
    ("山", "冬の山は静かだ。", "静かなのは？", ("山", "冬の山")),
    ("父", "父は紅茶をたのんだ。", "何をたのんだ？", ("紅茶",)),
    ("機械", "機械は夜に止まる。", "いつ止まる？", ("夜",)),
]


def write_jglue(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    questions = [
        {"q_id": number, "question": question, **{f"choice{n}": text for n, text in enumerate(choices)}, "label": label}
        for number, (question, choices, label) in enumerate(JCOMMONSENSEQA)
    ]
    pairs = [
        {
            "sentence_pair_id": str(number),
            "yjcaptions_id": f"{number}-1-2",
            "sentence1": one,
            "sentence2": two,
            "label": label,
        }
        for number, (one, two, label) in enumerate(JNLI)
    ]
    articles = [
        {
            "title": title,
            "paragraphs": [
                {
                    "context": f"{title} [SEP] {context}",
                    "qas": [
                        {
                            "id": f"q{number}",
                            "question": question,
                            "answers": [{"text": text, "answer_start": 0} for text in answers],
                            "is_impossible": False,
                        }
                    ],
                }
            ],
        }
        for number, (title, context, question, answers) in enumerate(JSQUAD)
    ]
    _lines(folder / "jcommonsenseqa-valid.json", questions)
    _lines(folder / "jnli-valid.json", pairs)
    (folder / "jsquad-valid.json").write_text(json.dumps({"version": "v1.3", "data": articles}, ensure_ascii=False))
    return folder


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
