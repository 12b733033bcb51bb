"""The exported model computes what ours computes, for every architecture and every switch that changes its files."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_export import VARIANTS, export_decoder, tiny_config, tiny_decoder

from jp_llm.export.source import DecoderSource, RoundedSource
from jp_llm.huggingface.parity import load_reference
from jp_llm.model.decoder import Decoder
from jp_llm.model.source import load_native
from jp_llm.tokenizer.tokenizer import Tokenizer

LENGTH = 48


@pytest.fixture(params=VARIANTS)
def pair(request: pytest.FixtureRequest, tokenizer: Tokenizer, exports: Path) -> tuple[Decoder, Any, dict[str, Any]]:
    """Our decoder, what transformers loads of its export, and the proof."""
    return exported(request.param, tokenizer, exports)


@cache
def exported(name: str, tokenizer: Tokenizer, exports: Path) -> tuple[Decoder, Any, dict[str, Any]]:
    decoder = tiny_decoder(tiny_config(tokenizer, **VARIANTS[name]))
    proof = export_decoder(decoder, tokenizer, exports / name)
    return decoder, load_reference(exports / name), proof


def random_tokens(decoder: Decoder, *shape: int) -> torch.Tensor:
    return torch.randint(decoder.config.vocab_size or 0, shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 2, LENGTH, 64])
def test_logits_are_equal(pair: tuple[Decoder, Any, dict[str, Any]], length: int) -> None:
    decoder, theirs, _ = pair
    tokens_BT = random_tokens(decoder, 3, length)
    ours_BTV = decoder.logits(decoder(tokens_BT))
    theirs_BTV = theirs(input_ids=tokens_BT).logits
    assert theirs_BTV.shape == (3, length, decoder.config.vocab_size)
    assert decoder.config.padded_vocab_size != decoder.config.vocab_size
    assert (ours_BTV - theirs_BTV).abs().max() <= 1e-5 * ours_BTV.abs().max()
    assert torch.equal(ours_BTV.argmax(-1), theirs_BTV.argmax(-1))


def test_the_proof_states_what_was_measured(pair: tuple[Decoder, Any, dict[str, Any]]) -> None:
    found = pair[2]["verification"]
    assert found["max_difference"] <= 1e-5 * found["max_logit"]
    assert found["positions"] == 4 * 64


@torch.no_grad()
def test_greedy_continuations_are_equal_alone_and_in_a_left_padded_batch(
    pair: tuple[Decoder, Any, dict[str, Any]],
) -> None:
    # Ours recomputes the whole text for every token; theirs keeps keys and values and pads shorter prompts.
    decoder, theirs, _ = pair
    prompts = [random_tokens(decoder, 1, length)[0].tolist() for length in (12, 1, 5)]
    width = max(map(len, prompts))
    out = theirs.generate(
        input_ids=torch.tensor([[3] * (width - len(ids)) + ids for ids in prompts]),
        attention_mask=torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]),
        do_sample=False,
        eos_token_id=None,
        pad_token_id=3,
        max_new_tokens=LENGTH,
        temperature=1.0,
        top_p=1.0,
    )
    for ids, row in zip(prompts, out[:, width:].tolist(), strict=True):
        text = list(ids)
        for _ in range(LENGTH):
            text.append(int(decoder.logits(decoder(torch.tensor([text]))[0, -1]).argmax()))
        assert row == text[len(ids) :]


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "neox-quarter", "llama-gqa", "palm-qk-norm"])
def test_bf16_files_hold_the_weights_rounded_once(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, **VARIANTS[name]))
    proof = export_decoder(decoder, tokenizer, tmp_path / name, dtype="bf16")
    assert proof["verification"]["max_difference"] <= 1e-5 * proof["verification"]["max_logit"]
    theirs = load_reference(tmp_path / name)
    tokens_BT = random_tokens(decoder, 2, LENGTH)
    rounded = load_native(RoundedSource(DecoderSource(decoder), torch.bfloat16), decoder.config)
    difference = rounded.logits(rounded(tokens_BT)) - theirs(input_ids=tokens_BT).logits
    assert difference.abs().max() <= 5e-5
    # It is the rounded model, not the exact one, that was exported.
    exact = decoder.logits(decoder(tokens_BT)) - theirs(input_ids=tokens_BT).logits
    assert exact.abs().max() > 1e-3
