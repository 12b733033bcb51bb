"""CTranslate2 converts and runs what docs/runtimes.md says it does, and refuses the rest with an error."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_export import VARIANTS, export_decoder, tiny_config, tiny_decoder

from jp_llm.huggingface.parity import load_reference
from jp_llm.huggingface.reload import load_tokenizer, quiet_transformers
from jp_llm.tokenizer.tokenizer import Tokenizer

ctranslate2 = pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed")


def convert(name: str, tokenizer: Tokenizer, folder: Path) -> tuple[Path, Path]:
    """The Hugging Face folder of a variant, and what CTranslate2 makes of it."""
    from ctranslate2.converters import TransformersConverter

    model, target = folder / name, folder / f"{name}-ct2"
    export_decoder(tiny_decoder(tiny_config(tokenizer, **VARIANTS[name])), tokenizer, model, verify="structure")
    with warnings.catch_warnings(), quiet_transformers():
        # It calls transformers by old names.
        warnings.simplefilter("ignore")
        TransformersConverter(str(model)).convert(str(target))
    return model, target


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "gpt2-untied", "llama-gqa", "llama-tied"])
def test_it_computes_what_transformers_computes(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, target = convert(name, tokenizer, tmp_path)
    reference, pieces = load_reference(model), load_tokenizer(model)
    generator = ctranslate2.Generator(str(target), device="cpu", intra_threads=1)
    ids: list[int] = pieces("春の朝、水の音")["input_ids"]
    tokens: list[str] = pieces.convert_ids_to_tokens(ids)
    theirs = np.array(generator.forward_batch([tokens]).to(ctranslate2.DataType.float32))[0]
    ours = reference(input_ids=torch.tensor([ids])).logits[0].numpy()
    assert np.abs(theirs - ours).max() <= 1e-4 * np.abs(ours).max()
    made: Any = generator.generate_batch([tokens], max_length=16, sampling_topk=1, include_prompt_in_result=False)
    greedy = reference.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        max_new_tokens=16,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
    )[0, len(ids) :].tolist()
    end = greedy.index(tokenizer.eos_id) if tokenizer.eos_id in greedy else len(greedy)
    assert made[0].sequences_ids[0] == greedy[:end]


@pytest.mark.parametrize("name", ["neox-quarter", "palm-mqa"])
def test_what_it_does_not_convert_it_refuses(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises((AttributeError, ValueError)):
        convert(name, tokenizer, tmp_path)
