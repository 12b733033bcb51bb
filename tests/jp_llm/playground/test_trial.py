"""One trial: the text of generate.py token by token, and words for everything that goes wrong."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from other_tokenizers import llama
from transformers import AutoTokenizer

from jp_llm.export.inference import LoadedModel, encode
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.text import Completion, complete, continuation
from jp_llm.playground.config import PlaygroundConfig
from jp_llm.playground.stream import stream
from jp_llm.playground.trial import Trials, fitted, open_guard

SAMPLING = SamplingConfig(max_new_tokens=24, temperature=1.3, top_k=50, repetition_penalty=1.2, seed=5)


@pytest.mark.parametrize("prompt", ["春の朝、", ""])
def test_the_text_is_that_of_generate(loaded: LoadedModel, prompt: str) -> None:
    (expected,) = complete(loaded, [prompt], SAMPLING, 1)
    *running, last = stream(loaded, prompt, SAMPLING)
    assert (last.text, last.tokens, last.is_whole) == (expected.text, len(expected.tokens), True)
    assert [progress.tokens for progress in running] == list(range(1, len(expected.tokens)))
    assert not any(progress.is_whole for progress in running)
    before = [loaded.start_id, *encode(loaded.tokenizer, prompt)]
    texts = [continuation(loaded.tokenizer, before, expected.tokens[: progress.tokens]) for progress in running]
    assert [progress.text for progress in running] == [text.rstrip("\ufffd") for text in texts]
    assert len({progress.text for progress in running}) > 5


def test_a_space_in_front_is_shown_from_the_first_token_on(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama(tmp_path))
    before = len(encode(tokenizer, "春"))
    new = encode(tokenizer, "春 のの")[before:]

    def complete(loaded: LoadedModel, *_: object, **__: object) -> Iterator[Completion]:
        for token in [0, *new[:-1]]:
            loaded.model(input_ids=torch.tensor([[token]]))
        yield Completion("春", 0, " のの", new, "length")

    monkeypatch.setattr("jp_llm.playground.stream.complete", complete)
    texts = [progress.text for progress in stream(replace(loaded, tokenizer=tokenizer), "春", SAMPLING)]
    assert texts[-1] == " のの"
    assert all(" のの".startswith(text) for text in texts)


def test_whoever_leaves_ends_the_work(loaded: LoadedModel) -> None:
    before = threading.active_count()
    texts = stream(loaded, "春", SamplingConfig(max_new_tokens=60, min_new_tokens=60))
    assert next(texts).tokens == 1
    texts.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert not loaded.model._forward_pre_hooks


def settings(**values: float) -> dict[str, float]:
    return {"seed": 1, "max_new_tokens": 8, **values}


def test_a_prompt_longer_than_the_context_is_refused_in_words(loaded: LoadedModel) -> None:
    (shown,) = Trials({"a": loaded}, None).run("a", "春の朝、" * 40, settings())
    assert shown.text == ""
    assert "but the context of this model is 64" in shown.words
    assert "shorten the prompt" in shown.words


def test_no_more_than_what_fits_is_asked_for(loaded: LoadedModel) -> None:
    length = len(loaded.tokenizer("春の朝、")["input_ids"])
    sampling, note = fitted(loaded, "春の朝、", settings(max_new_tokens=500))
    assert sampling.max_new_tokens == 64 - length
    assert f"at most {64 - length}" in note
    assert fitted(loaded, "春の朝、", settings())[1] == ""
    shown = list(Trials({"a": loaded}, None).run("a", "春の朝、", settings(max_new_tokens=500)))[-1]
    assert shown.text.startswith("春の朝、")
    assert note in shown.words


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"unknown": 1}])
def test_a_setting_that_is_not_allowed_is_named(loaded: LoadedModel, wrong: dict[str, float]) -> None:
    (shown,) = Trials({"a": loaded}, None).run("a", "春", settings(**wrong))
    assert next(iter(wrong)) in shown.words


def test_the_guard_sees_the_new_text_once_it_is_whole(loaded: LoadedModel) -> None:
    seen = []

    def guard(text: str) -> str:
        seen.append(text)
        return "Rejected: a run of 40 characters"

    *running, last = Trials({"a": loaded}, guard).run("a", "春の朝、", settings(min_new_tokens=8))
    assert last.verdict == "Rejected: a run of 40 characters"
    assert not any(shown.verdict for shown in running)
    assert seen == [last.text.removeprefix("春の朝、")]


def test_the_guard_itself(tmp_path: Path) -> None:
    build = pytest.importorskip("jp_llm.near_copies.build", reason="the near-copy guard is not there")
    corpus = "".join(chr(0x4E00 + 7 * number % 9000) for number in range(4000))
    (tmp_path / "a.txt").write_text(corpus, encoding="utf-8")
    build.build_index([tmp_path / "a.txt"], tmp_path / "index", 1)
    guard = open_guard(tmp_path / "index")
    assert guard(corpus[500:600]).startswith("Rejected: ")
    assert guard("これはどこにもない文です。").startswith("Accepted: the longest run")


def test_the_page_is_for_this_machine_only() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        assert PlaygroundConfig(model="a", host=host).problems() == []  # type: ignore[arg-type]
    for host in ("0.0.0.0", "192.168.0.3", "example.com", "::", ""):
        (problem,) = PlaygroundConfig(model="a", host=host).problems()  # type: ignore[arg-type]
        assert "other machines" in problem
        assert "ssh -L 7860" in problem
    assert PlaygroundConfig().problems()[0].startswith("model: ")
