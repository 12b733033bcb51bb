"""Continuations: what is drawn, what is never drawn, and that neighbours do not matter."""

import copy
import dataclasses
import itertools
import math
from pathlib import Path

import pytest
import torch
from tiny_export import VARIANTS, export_decoder, tiny_config, tiny_decoder
from tokenizers import Tokenizer as Words
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig, PreTrainedTokenizerFast

from jp_llm.config.build import problems_of
from jp_llm.export.inference import LoadedModel, open_model
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.text import complete, continuation, encode_prompts
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
        SamplingConfig(max_length=40, temperature=3.0, min_p=0.01, repetition_penalty=1.3, repetition_window=8),
        SamplingConfig(max_new_tokens=24, temperature=3.0, typical_p=0.9, num_return_sequences=5),
    ],
    ids=["greedy", "sampled", "filtered", "n-grams", "window", "typical"],
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


@pytest.mark.parametrize("template", ["$A </s>", "<s> $A", "$A"])
def test_whatever_a_tokenizer_puts_around_a_text_a_prompt_has_its_begin_only(
    template: str, loaded: LoadedModel, tokenizer: Tokenizer
) -> None:
    """Tokenizers of others end a text with </s>, or put nothing in front, and read </s> in it as the control token."""
    foreign = copy.deepcopy(loaded.tokenizer)
    foreign.split_special_tokens = False
    control = [(token, foreign.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    foreign._tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=control)
    assert tokenizer.eos_id in foreign("春</s>")["input_ids"]
    theirs = dataclasses.replace(loaded, tokenizer=foreign)
    prompts = ["春の朝、", "", "春</s>"]
    encoded = encode_prompts(theirs, prompts, SamplingConfig(max_new_tokens=4))
    assert encoded == {prompt: [tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in prompts}


def test_rows_of_the_model_that_are_no_token_are_never_drawn(loaded: LoadedModel) -> None:
    model = copy.deepcopy(loaded.model)
    model.resize_token_embeddings(len(loaded.tokenizer) + 60, mean_resizing=False)
    larger = dataclasses.replace(loaded, model=model)
    sampling = SamplingConfig(max_new_tokens=40, temperature=1000.0, top_p=1.0, num_return_sequences=8)
    assert max(token for ids in tokens(larger, [""], sampling) for token in ids) < len(loaded.tokenizer)


def test_a_space_between_prompt_and_text_is_kept() -> None:
    """A decoder that has words begin with a space takes away the first one."""
    words = Words(WordLevel({"▁Hello": 0, "▁Matsuri": 1, "!": 2}, unk_token="!"))
    words.decoder = MetaspaceDecoder()
    theirs = PreTrainedTokenizerFast(tokenizer_object=words)
    assert theirs.decode([1, 2]) == "Matsuri!"
    assert continuation(theirs, [0], [1, 2]) == " Matsuri!"
    assert continuation(theirs, [], [1, 2]) == "Matsuri!"


def test_a_minimum_that_cannot_be_reached_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(
        UserError, match=r"prompt 1 .* at most 10 new ones do not reach min_length 50; lower min_length"
    ):
        tokens(loaded, ["春"], SamplingConfig(max_new_tokens=10, min_length=50))
    with pytest.raises(UserError, match=r"do not reach min_new_tokens 9; .*max_length"):
        tokens(loaded, ["春の朝、"], SamplingConfig(max_length=10, min_new_tokens=9))


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


@torch.no_grad()
@pytest.mark.parametrize(
    ("sampling", "same"),
    [
        (SamplingConfig(do_sample=False), {}),
        (SamplingConfig(do_sample=False, repetition_penalty=1.5), {"repetition_penalty": 1.5}),
        (SamplingConfig(do_sample=False, no_repeat_ngram_size=3), {"no_repeat_ngram_size": 3}),
        (SamplingConfig(do_sample=False, min_length=32, max_length=32), {"min_length": 32, "max_length": 32}),
        (SamplingConfig(do_sample=False, top_k=1, min_new_tokens=9), {"min_new_tokens": 9}),
    ],
    ids=["plain", "penalty", "n-grams", "length", "minimum"],
)
def test_greedy_texts_are_those_of_transformers(
    loaded: LoadedModel, tokenizer: Tokenizer, sampling: SamplingConfig, same: dict[str, float]
) -> None:
    sampling = sampling.model_copy(update={"max_new_tokens": 24})
    if "max_length" not in same:
        same = {"max_new_tokens": 24, **same}
    never = [tokenizer.unk_id, tokenizer.bos_id, tokenizer.pad_id]
    for prompt, ids in zip(PROMPTS, tokens(loaded, PROMPTS, sampling, batch_size=3), strict=True):
        given = loaded.tokenizer(prompt, return_tensors="pt")
        settings = GenerationConfig(
            do_sample=False, suppress_tokens=never, eos_token_id=tokenizer.eos_id, pad_token_id=tokenizer.pad_id, **same
        )
        out = loaded.model.generate(**given, generation_config=settings)[0, given["input_ids"].shape[1] :]
        assert ids == out.tolist()


@pytest.mark.parametrize("variant", ["neox-quarter", "llama-gqa", "palm-qk-norm"])
def test_rows_come_and_go_under_rotary_positions(variant: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Six texts of very different lengths, two at a time: what a row has left behind must not reach the next."""
    export_decoder(
        tiny_decoder(tiny_config(tokenizer, **VARIANTS[variant])), tokenizer, tmp_path / "model", verify="structure"
    )
    loaded = open_model(tmp_path / "model", "cpu", "auto")
    prompts = ["", "春", "春はあけぼの。やうやう白くなりゆく", "夏は夜", "秋", "冬はつとめて。雪の降りたるは"]
    sampling = SamplingConfig(do_sample=False, max_length=40)
    never = [tokenizer.unk_id, tokenizer.bos_id, tokenizer.pad_id]
    settings = GenerationConfig(
        do_sample=False,
        max_length=40,
        suppress_tokens=never,
        eos_token_id=tokenizer.eos_id,
        pad_token_id=tokenizer.pad_id,
    )
    for prompt, completion in zip(prompts, complete(loaded, prompts, sampling, batch_size=2), strict=True):
        given = loaded.tokenizer(prompt, return_tensors="pt")
        out = loaded.model.generate(**given, generation_config=settings)[0, given["input_ids"].shape[1] :]
        assert completion.tokens == out.tolist(), prompt


def test_a_batch_takes_in_new_rows_while_others_go_on(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows end at different places; the passes of the model are far fewer than batches of fixed rows would need."""
    passes = 0
    forward = loaded.model.forward

    def counted(*arguments: object, **words: object) -> object:
        nonlocal passes
        passes += 1
        return forward(*arguments, **words)

    monkeypatch.setattr(loaded.model, "forward", counted)
    sampling = SamplingConfig(
        max_new_tokens=60, temperature=100.0, top_p=1.0, num_return_sequences=64, stop=("。", "山")
    )
    found = list(complete(loaded, [""], sampling, 8))
    lengths = [len(completion.tokens) for completion in found]
    assert [completion.number for completion in found] == list(range(64))
    assert min(lengths) < 30
    fixed = sum(max(lengths[start : start + 8]) for start in range(0, 64, 8))
    refills = 64
    assert passes < fixed + refills
    assert passes <= sum(lengths) / 8 + 60 + refills


def test_a_text_ends_before_a_stop_string(loaded: LoadedModel) -> None:
    sampling = SamplingConfig(max_new_tokens=60, temperature=100.0, top_p=1.0, num_return_sequences=30)
    plain = list(complete(loaded, ["春。"], sampling, 8))
    stopped = list(complete(loaded, ["春。"], sampling.model_copy(update={"stop": ("の", "ア", "静か")}), 8))
    reasons = set()
    for whole, cut in zip(plain, stopped, strict=True):
        places = [place for place in map(whole.text.find, ("の", "ア", "静か")) if place >= 0]
        assert cut.text == whole.text[: min(places, default=len(whole.text))]
        assert (cut.finish_reason == "stop") == bool(places)
        assert whole.tokens[: len(cut.tokens)] == cut.tokens
        reasons.add(cut.finish_reason)
    assert reasons >= {"stop", "length"}


def test_an_empty_text_is_a_text(loaded: LoadedModel, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that puts the end of the document at once."""
    forward = loaded.model.forward

    def ending(*arguments: object, **words: object) -> object:
        out = forward(*arguments, **words)
        out.logits[..., tokenizer.eos_id] = 1e4
        return out

    monkeypatch.setattr(loaded.model, "forward", ending)
    found = list(complete(loaded, ["春"], SamplingConfig(max_new_tokens=9, num_return_sequences=5), 2))
    assert [(each.number, each.text, each.tokens, each.finish_reason) for each in found] == [
        (number, "", [tokenizer.eos_id], "end") for number in range(5)
    ]


def repeated(rows: list[list[int]], size: int = 4) -> float:
    """Share of n-grams that occurred before in the same text."""
    grams = [[tuple(ids[at : at + size]) for at in range(len(ids) - size + 1)] for ids in rows]
    return 1 - sum(len(set(row)) for row in grams) / sum(map(len, grams))


@pytest.fixture(scope="module")
def looping(loaded: LoadedModel) -> LoadedModel:
    """A model that sees the last token only, as one does early in training: the likeliest tokens run in rings."""
    model = copy.deepcopy(loaded.model)
    with torch.no_grad():
        model.transformer.wpe.weight.zero_()
        for block in model.transformer.h:
            block.attn.c_proj.weight.zero_()
    return dataclasses.replace(loaded, model=model)


@pytest.mark.parametrize(
    ("control", "most"),
    [
        ({"repetition_penalty": 1.5}, 0.3),
        ({"repetition_penalty": 1.5, "repetition_window": 16}, 0.5),
        ({"no_repeat_ngram_size": 4}, 0.0),
        ({"do_sample": True, "temperature": 1.0, "top_p": 1.0, "min_p": 0.05}, 0.3),
        ({"do_sample": True, "temperature": 1.0, "top_p": 1.0, "typical_p": 0.9}, 0.3),
    ],
    ids=["penalty", "window", "n-grams", "min-p", "typical"],
)
def test_controls_break_loops(looping: LoadedModel, control: dict[str, float], most: float) -> None:
    sampling = SamplingConfig(max_new_tokens=54, min_new_tokens=54, do_sample=False)
    prompts = ["", "春の朝、", "冬", "山", "English", "「どこ"]
    assert repeated(tokens(looping, prompts, sampling)) > 0.6
    found = repeated(tokens(looping, prompts, sampling.model_copy(update=control)))
    assert found <= most


def test_the_window_frees_what_lies_behind_it(loaded: LoadedModel) -> None:
    plain = SamplingConfig(max_new_tokens=36, do_sample=False, repetition_penalty=2.0)
    everything, window = (
        tokens(loaded, PROMPTS, plain.model_copy(update={"repetition_window": size})) for size in (0, 4)
    )
    assert everything != window
    assert everything == tokens(loaded, PROMPTS, plain.model_copy(update={"repetition_window": 1000}))
    assert repeated(window, 1) > repeated(everything, 1)


def test_a_prompt_as_long_as_max_length_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(UserError, match=r"prompt 2 .* tokens leave none of max_length 5"):
        tokens(loaded, ["春", "春" * 9], SamplingConfig(max_length=5))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"max_length": 8, "min_length": 9}, "min_length: 9 is more than max_length 8"),
        ({"max_length": 8, "min_new_tokens": 9}, "min_new_tokens: 9 is more than max_length 8"),
        ({"repetition_window": 8}, "repetition_window: does nothing"),
        ({"stop": ("",)}, "stop: an empty string"),
        ({"no_repeat_ngram_size": 1}, "no_repeat_ngram_size: 1 would let no token"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, int], key: str) -> None:
    assert problems_of(SamplingConfig(**settings))[0].startswith(key)
