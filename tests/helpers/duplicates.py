"""A small corpus that repeats itself in every way."""

import random

from jp_llm.config.build import build
from preprocessing.config import CorpusConfig

MENU = "会社概要 | 事業内容 | 2024年"


def sentences(rng, count):
    return "".join("".join(chr(rng.randint(0x4E00, 0x5FFF)) for _ in range(29)) + "。" for _ in range(count))


def texts():
    """Two sources: plain pages, and pages that repeat each other in every way."""
    rng = random.Random(0)
    pages = [sentences(rng, 8) for _ in range(60)]
    paragraph = sentences(rng, 5)
    other = sentences(rng, 10)
    first = pages[:40] + [f"{MENU}\n{sentences(rng, 3)}" for _ in range(12)]
    second = [
        *pages[40:],
        pages[0],
        pages[1].replace("。", "。\n　"),  # equal but for spaces
        pages[2][:-2] + "違。",  # nearly equal
        f"{paragraph}\n{sentences(rng, 6)}",
        f"{sentences(rng, 6)}\n{paragraph}",
        f"{paragraph}\n別の結び。",  # little may be left
        f"{other}\n{sentences(rng, 4)}",
        f"{other}\n一つ目の結び。",
        f"二つ目の始め。\n{other}\nここまで。",
        MENU.replace("2024", "２０２３"),  # nothing is left
        "短い文。",
        "短い文。",
    ]
    return {"a": first, "b": second}


RULES = {"lines": {"minimum_documents": 10}, "near": {"minimum_similarity": 0.6}}


def config(output, raw, **changes):
    sources = {
        source: {"reader": {"type": "jsonl", "meta_fields": ["n"]}, "paths": [str(raw / f"{source}-*.jsonl")]}
        for source in ("a", "b")
    }
    values = {
        "name": "test",
        "output_dir": str(output),
        "sources": sources,
        "stages": ["clean", "deduplicate"],
        "num_workers": 1,
        "validation_fraction": 0.2,
        "unit_bytes": 6_000,
        "documents_file_bytes": 5_000,
        "deduplicate": RULES,
    }
    return build(CorpusConfig, values | changes)
