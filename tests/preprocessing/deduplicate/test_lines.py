"""Which lines are taken for menus."""

import random

import pytest
from raw import cleaned

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from preprocessing.config import CorpusConfig
from preprocessing.run import run

MENU = "会社概要 | 事業内容"
FREQUENT = [MENU, "「はい。」", "\u3000『いいえ』"]


def corpus(tmp_path, lines):
    rng = random.Random(1)
    sources = {}
    for source in ("web", "books"):
        pages = ["".join(chr(rng.randint(0x4E00, 0x5FFF)) for _ in range(60)) + "。" for _ in range(6)]
        (tmp_path / f"{source}.txt").write_text("\n\n".join("\n".join([*FREQUENT, page]) for page in pages))
        reader = {"type": "text", "document": "blank_line"}
        sources[source] = {"reader": reader, "paths": [str(tmp_path / f"{source}.txt")], "steps": []}
    values = {"name": "lines", "output_dir": str(tmp_path / "out"), "sources": sources, "num_workers": 1}
    more = {"stages": ["clean", "deduplicate"], "validation_fraction": 0.0}
    deduplicate = {"lines": {"minimum_documents": 6, **lines}, "near": None}
    return build(CorpusConfig, values | more | {"deduplicate": deduplicate})


@pytest.mark.parametrize(
    ("lines", "rid"), [({}, ["web", "books"]), ({"sources": ["web"]}, ["web"]), ({"sources": "web"}, ["web"])]
)
def test_menus_go_and_dialogue_stays(tmp_path, lines, rid):
    run(corpus(tmp_path, lines))
    for source in ("web", "books"):
        for record in cleaned(tmp_path / "out", source):
            expected = FREQUENT[1:] if source in rid else FREQUENT
            # A blank at the start of a text is not for this step to remove.
            assert record["text"].split("\n")[:-1] == expected


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"deduplicate\.lines\.sources: no source 'wep'; did you mean 'web'\?"):
        corpus(tmp_path, {"sources": ["wep"]})
