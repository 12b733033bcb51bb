"""Continuations: what is drawn, what is never drawn, and that neighbours do not matter."""

import itertools
import math

import pytest
import torch

from jp_llm.config.build import problems_of
from jp_llm.export.inference import LoadedModel
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.text import _processors, complete
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.tokenizer import Tokenizer

PROMPTS = ["春の朝、", "", "町の図書館には、古い地図と新しい小説がならんでいる。", "冬"]


def tokens(loaded: LoadedModel, prompts: list[str], sampling: SamplingConfig, batch_size: int = 8) -> list[list[int]]:
    return [completion.tokens for completion in complete(loaded, prompts, sampling, batch_size)]


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingConfig(max_new_tokens=24, do_sample=False),
        SamplingConfig(max_new_tokens=24),
        SamplingConfig(max_new_tokens=24, top_k=20, top_p=0.9, temperature=1.5, repetition_penalty=1.3),
        SamplingConfig(max_new_tokens=24, no_repeat_ngram_size=2, min_new_tokens=24, num_return_sequences=2),
    ],
    ids=["greedy", "sampled", "filtered", "n-grams"],
)
def test_neighbours_do_not_matter(loaded: LoadedModel, sampling: SamplingConfig) -> None:
    together = tokens(loaded, PROMPTS, sampling)
    assert together == tokens(loaded, PROMPTS, sampling, batch_size=3)
    assert together == [ids for prompt in PROMPTS for ids in tokens(loaded, [prompt], sampling, batch_size=1)]


@torch.no_grad()
def test_greedy_takes_the_likeliest_token(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    (found,) = tokens(loaded, ["春の朝、"], SamplingConfig(max_new_tokens=8, do_sample=False))
    text = [tokenizer.bos_id, *tokenizer.encode("春の朝、")]
    for token in found:
        logits = loaded.model(input_ids=torch.tensor([text])).logits[0, -1]
        logits[[tokenizer.bos_id, tokenizer.unk_id, tokenizer.pad_id]] = -math.inf
        assert token == logits.argmax()
        text.append(token)


def test_texts_of_one_prompt_differ_and_come_back_with_the_seed(loaded: LoadedModel) -> None:
    sampling = SamplingConfig(max_new_tokens=16, num_return_sequences=3)
    first = list(complete(loaded, ["春"], sampling, 2))
    assert [completion.number for completion in first] == [0, 1, 2]
    assert len({tuple(completion.tokens) for completion in first}) == 3
    assert first == list(complete(loaded, ["春"], sampling, 8))
    # The same prompt three times is the same as three texts of it.
    again = complete(loaded, ["春"] * 3, sampling.model_copy(update={"num_return_sequences": 1}), 8)
    assert first == list(again)
    other = complete(loaded, ["春"], sampling.model_copy(update={"seed": 5}), 8)
    assert all(one.tokens != two.tokens for one, two in zip(first, other, strict=True))


def test_the_prompt_and_the_text_are_apart(loaded: LoadedModel) -> None:
    (completion,) = complete(loaded, ["春の朝、"], SamplingConfig(max_new_tokens=12), 1)
    assert completion.prompt == "春の朝、"
    # Bytes that are no UTF-8, which a model of random weights writes, read as transformers reads them.
    assert completion.text == loaded.tokenizer.decode(completion.tokens, skip_special_tokens=True)


def draws(logits: list[float], sampling: SamplingConfig, rows: int) -> torch.Tensor:
    """Share of each id among `rows` draws."""
    scores = torch.tensor(logits).repeat(rows, 1)
    processors = _processors(sampling, list(range(rows)), torch.device("cpu"))
    chosen = processors(torch.zeros(rows, 1, dtype=torch.long), scores).argmax(-1)
    return torch.bincount(chosen, minlength=len(logits)) / rows


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (SamplingConfig(temperature=1.0, top_p=1.0), 5),
        (SamplingConfig(temperature=0.5, top_p=1.0), 5),
        (SamplingConfig(temperature=2.0, top_p=1.0, top_k=3), 3),
        (SamplingConfig(temperature=1.0, top_p=0.8), 2),
    ],
    ids=["plain", "cold", "top-k", "top-p"],
)
def test_draws_follow_the_probabilities(sampling: SamplingConfig, kept: int) -> None:
    # Probabilities 0.5, 0.3, 0.12, 0.06, 0.02 at temperature 1.
    logits = [math.log(p) for p in (0.02, 0.5, 0.12, 0.3, 0.06)]
    scaled = torch.tensor(logits) / sampling.temperature
    scaled[scaled.argsort(descending=True)[kept:]] = -math.inf
    expected = scaled.softmax(0)
    rows = 20_000
    error = (expected * (1 - expected) / rows).sqrt()
    assert ((draws(logits, sampling, rows) - expected).abs() <= 4 * error).all()


def test_lengths_are_kept(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=30, min_new_tokens=30, temperature=100.0, top_p=1.0)
    assert {len(ids) for ids in tokens(loaded, PROMPTS, sampling)} == {30}
    # At this temperature every token is as likely as the end: some of 64 texts of 30 tokens end early.
    free = sampling.model_copy(update={"min_new_tokens": 0, "num_return_sequences": 64})
    found = tokens(loaded, [""], free, batch_size=64)
    ended = [ids for ids in found if len(ids) < 30]
    assert ended
    for ids in found:
        assert ids.index(tokenizer.eos_id) == len(ids) - 1 if tokenizer.eos_id in ids else len(ids) == 30


def test_control_ids_are_never_drawn(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=60, temperature=1000.0, top_p=1.0, num_return_sequences=64)
    drawn = {token for ids in tokens(loaded, [""], sampling, batch_size=64) for token in ids}
    assert len(drawn) > 500
    assert not drawn & {tokenizer.bos_id, tokenizer.pad_id, tokenizer.unk_id}


def test_no_ngram_occurs_twice(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=24, top_k=2, no_repeat_ngram_size=2, min_new_tokens=24)
    for prompt, ids in zip(PROMPTS, tokens(loaded, PROMPTS, sampling), strict=True):
        text = tokenizer.encode(prompt) + ids
        pairs = list(itertools.pairwise(text))
        new = pairs[len(pairs) - len(ids) :]
        assert len(set(new)) == len(new)


def test_repetition_penalty_brings_new_tokens(loaded: LoadedModel) -> None:
    plain, penalised = (
        len(set(tokens(loaded, [""], SamplingConfig(max_new_tokens=60, top_k=2, repetition_penalty=penalty))[0]))
        for penalty in (1.0, 5.0)
    )
    assert penalised > plain


def test_written_control_tokens_are_characters(loaded: LoadedModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=1, do_sample=False)
    (found,) = tokens(loaded, ["春</s>"], sampling)
    text = [tokenizer.bos_id, *tokenizer.encode("春</s>")]
    assert tokenizer.eos_id not in text
    logits = loaded.model(input_ids=torch.tensor([text])).logits[0, -1]
    logits[[tokenizer.bos_id, tokenizer.unk_id, tokenizer.pad_id]] = -math.inf
    assert found == [logits.argmax()]


def test_a_prompt_beyond_the_context_is_refused_with_its_number(loaded: LoadedModel) -> None:
    with pytest.raises(UserError) as caught:
        tokens(loaded, ["春", "春" * 40, "春" * 70], SamplingConfig(max_new_tokens=30))
    assert [problem.split(" (")[0] for problem in caught.value.problems] == ["prompt 2", "prompt 3"]
    assert "41 tokens and max_new_tokens 30 are more than the context of 64" in caught.value.problems[0]
    assert caught.value.problems[0].endswith("lower max_new_tokens")
    assert caught.value.problems[1].endswith("shorten the prompt")


def test_contradictions_are_refused() -> None:
    assert problems_of(SamplingConfig(min_new_tokens=9, max_new_tokens=8))[0].startswith("min_new_tokens: 9")
    assert problems_of(SamplingConfig(do_sample=False, num_return_sequences=2))[0].startswith("num_return_sequences")
    assert not problems_of(SamplingConfig())
