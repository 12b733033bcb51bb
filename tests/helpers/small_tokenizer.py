"""Japanese text from a little grammar, and tokenizers trained on it in about a second."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import zstandard

from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.train_tokenizer import TokenizerConfig, train

_WHO = ("私", "妹", "先生", "漁師", "東京の友人", "隣の猫", "田中さん", "エンジニア", "みんな", "AI")
_WHERE = ("駅前", "図書館", "北海道", "港", "コンビニ", "山の上", "教室", "大阪城", "庭", "ホーム")
_WHAT = ("本", "写真", "おにぎり", "古い地図", "プログラム", "手紙", "カメラ", "林檎", "新聞", "歌")
_DID = ("読んだ", "買いました", "探している", "忘れてしまった", "作った", "見せてくれた", "書き直す", "届けた")
_SHAPES = (
    "{who}は{where}で{what}を{did}。",
    "「{what}を{did}のは{who}だ」と{who}が言った。",
    "{year}年{n}月、{where}の{what}は{n}円だった。",
    "……{who}も、――{who}も{what}を{did}！",
    "　{where}まで{n}km （約{n}分） {who}が{what}を{did}",
    "The {n} words in English: {what}, and {where}.",
)


def text(rng: random.Random, sentences: int) -> str:
    """Sentences, some of them on lines of their own."""
    made = []
    for _ in range(sentences):
        words = {"who": _WHO, "where": _WHERE, "what": _WHAT, "did": _DID}
        shape = rng.choice(_SHAPES)
        made.append(
            shape.format(
                **{k: rng.choice(v) for k, v in words.items()}, n=rng.randint(1, 31), year=rng.randint(1900, 2030)
            )
        )
    return "".join(sentence + rng.choice(("", "", "\n")) for sentence in made)


def texts(count: int, seed: int = 0) -> list[str]:
    """Different documents of one to forty sentences."""
    rng = random.Random(seed)
    return [text(rng, rng.randint(1, 40)) for _ in range(count)]


def write_documents(path: Path, documents: Sequence[str], source: str = "web") -> Path:
    """A documents file as preprocessing writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = ({"id": f"{source}/{n}", "source": source, "text": text, "meta": {}} for n, text in enumerate(documents))
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
    return path


def small_tokenizer(folder: Path, model_type: str = "unigram", vocab_size: int = 700) -> Tokenizer:
    """Trained on 200 documents."""
    documents = write_documents(folder / "documents" / "web" / "train-00000-000.jsonl.zst", texts(200))
    config = TokenizerConfig(model_type=model_type, vocab_size=vocab_size, num_threads=1)  # type: ignore[arg-type]
    return train([documents], config, folder / model_type)
