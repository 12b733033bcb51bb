"""Cloze items: the same for the same text, fair, and answered by a model that knows."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jp_llm.evaluate.cloze import LENGTH_RATIO, MOST_PER_DOCUMENT, ClozeItem, cloze_items, cloze_table, score_items
from jp_llm.evaluate.config import ClozeConfig
from jp_llm.evaluate.score import continuation_nats, split_choices, split_ids
from jp_llm.export.inference import LoadedModel, encode
from jp_llm.runtime.errors import UserError
from jp_llm.texts.documents import Text

CONFIG = ClozeConfig(items=20, choices=4, context_characters=60)
WORDS = "山川町人朝夜花雪船声空海道雨風木石光影春夏秋冬"


def documents(count: int, source: str = "novels") -> list[Text]:
    chance = random.Random(source)
    return [
        Text(source, "".join("".join(chance.choices(WORDS, k=chance.randrange(8, 30))) + "。" for _ in range(9)))
        for _ in range(count)
    ]


def test_neither_order_nor_other_documents_of_other_sources_change_the_items() -> None:
    texts = documents(30)
    items = cloze_items(texts, CONFIG)
    assert len(items) == 20
    assert cloze_items(texts[::-1], CONFIG) == items
    both = cloze_items([*documents(30, "news"), *texts], CONFIG)
    assert [item for item in both if item.source == "novels"] == items
    few = cloze_items(texts, ClozeConfig(items=5, choices=4, context_characters=60))
    assert few == items[:5]


def test_items_are_fair() -> None:
    texts = documents(40)
    items = cloze_items(texts, CONFIG)
    for item in items:
        right = item.choices[item.answer]
        mine = [text.text for text in texts if item.context + right in text.text]
        assert len(mine) == 1
        assert len(item.context) <= 60
        assert len(set(item.choices)) == 4
        for choice in item.choices:
            assert len(right) / LENGTH_RATIO <= len(choice) <= len(right) * LENGTH_RATIO
            assert choice == right or choice not in mine[0]
    # Every place is the right one about equally often.
    assert len({item.answer for item in items}) == 4


def test_a_document_that_stands_twice_makes_one_item_and_no_choice_of_its_own() -> None:
    texts = documents(30)
    assert cloze_items(texts + texts, CONFIG) == cloze_items(texts, CONFIG)


def test_a_few_long_documents_make_several_items_each() -> None:
    texts = documents(5)
    items = cloze_items(texts, ClozeConfig(items=100, choices=3, context_characters=60))
    of = [
        next(n for n, text in enumerate(texts) if item.context + item.choices[item.answer] in text.text)
        for item in items
    ]
    assert sorted(of[:5]) == [0, 1, 2, 3, 4]
    assert 5 < len(items) <= 5 * MOST_PER_DOCUMENT


def test_text_without_sentences_is_refused() -> None:
    with pytest.raises(UserError, match=r"cloze\.items: no source has 4 documents"):
        cloze_items([Text("a", "句点のない文書" * 20)] * 9, CONFIG)


class Memory(torch.nn.Module):
    """A language model that knows which token followed which eight in its text, and nothing else."""

    def __init__(self, rows: list[list[int]], vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.next = {tuple(row[max(0, end - 8) : end]): row[end] for row in rows for end in range(1, len(row))}

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        logits_BTV = torch.zeros(*input_ids.shape, self.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            for place in range(len(ids)):
                known = self.next.get(tuple(ids[max(0, place - 7) : place + 1]))
                if known is not None:
                    logits_BTV[row, place, known] = 20.0
        return SimpleNamespace(logits=logits_BTV)


def knowing(loaded: LoadedModel, texts: list[str]) -> LoadedModel:
    rows = [[loaded.start_id, *encode(loaded.tokenizer, text)] for text in texts]
    return LoadedModel(
        model=Memory(rows, len(loaded.tokenizer)),
        tokenizer=loaded.tokenizer,
        folder=Path(),
        device=torch.device("cpu"),
        start_id=loaded.start_id,
        end_ids=loaded.end_ids,
        context=None,
    )


def test_a_model_that_has_read_the_continuations_knows_them_and_one_that_has_not_guesses(loaded: LoadedModel) -> None:
    items = cloze_items(documents(60), ClozeConfig(items=40, choices=4, context_characters=60))
    right = [item.context + item.choices[item.answer] for item in items]
    found = score_items(knowing(loaded, right), items, context=512, batch_tokens=4096)
    assert list(found) == ["novels", "all"]
    assert found["all"]["accuracy"] > 0.95
    low, high = found["all"]["interval"]
    assert low < found["all"]["accuracy"] <= high
    assert found["all"]["chance"] == pytest.approx(0.25)
    ignorant = score_items(knowing(loaded, ["春"]), items, context=512, batch_tokens=4096)
    assert ignorant["all"]["interval"][0] <= 0.25 <= ignorant["all"]["interval"][1]
    assert "| novels | 40 |" in cloze_table(found)


def test_continuations_are_scored_like_one_token_after_the_other(loaded: LoadedModel) -> None:
    pairs = [("春の朝、", "川のそば"), ("", "水の音"), ("町の" * 60, "図書館には。")]
    ids = [split_ids(loaded.tokenizer, *pair) for pair in pairs]
    found = continuation_nats(loaded, ids, context=64, batch_tokens=64)
    for (before, text), nats in zip(pairs, found, strict=True):
        whole = [loaded.start_id, *encode(loaded.tokenizer, before + text)]
        seam = len(encode(loaded.tokenizer, before)) + 1
        assert whole[1:seam] == encode(loaded.tokenizer, before)
        expected = 0.0
        for target in range(seam, len(whole)):
            start = max(0, len(whole) - 65)
            with torch.no_grad():
                logits = loaded.model(input_ids=torch.tensor([whole[start:target]])).logits[0, -1].double()
            expected -= logits.log_softmax(0)[whole[target]].item()
        assert nats == pytest.approx(expected, rel=1e-4)


def test_choices_are_compared_from_the_same_place_on() -> None:
    """One of them shares a token with the end of the text before it."""
    pieces = ["。「", "山", "。", "「", "海"]

    def tokenizer(text: str, **_: Any) -> dict[str, list[int]]:
        ids = []
        while text:
            ids.append(next(id for id, piece in enumerate(pieces) if text.startswith(piece)))
            text = text.removeprefix(pieces[ids[-1]])
        return {"input_ids": ids}

    assert split_choices(tokenizer, "山。", ["「海", "海海"]) == [([1], [0, 4]), ([1], [2, 4, 4])]
    assert split_choices(tokenizer, "山。", ["山", "海海"]) == [([1, 2], [1]), ([1, 2], [4, 4])]


def test_a_context_that_no_sentence_fits_is_refused(loaded: LoadedModel) -> None:
    item = ClozeItem("a", "春。" * 20, ("町の図書館には。", "川のそばを歩く。"), 0)
    with pytest.raises(UserError, match="too short for cloze items"):
        score_items(loaded, [item], context=2, batch_tokens=64)
