"""Parameter counts against what was published of models with the same architecture."""

from typing import Any

import pytest

from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.model import ModelConfig


def shape(arch: str, width: int, layers: int, heads: int, vocabulary: int, **more: Any) -> ModelConfig:
    return ModelConfig(
        arch=arch, hidden_size=width, num_layers=layers, num_attention_heads=heads, vocab_size=vocabulary, **more
    )


PUBLISHED = {
    # Touvron et al. 2023; model.safetensors.index.json of the released weights (total_size / 2).
    "LLaMA-7B": (shape("llama", 4096, 32, 32, 32000), 6_738_415_616),
    "LLaMA-13B": (shape("llama", 5120, 40, 40, 32000), 13_015_864_320),
    "Llama-3-8B": (
        shape("llama", 4096, 32, 32, 128256, num_key_value_heads=8, intermediate_size=14336),
        8_030_261_248,
    ),
    # Black et al. 2022, section 2.1.
    "GPT-NeoX-20B": (shape("neox", 6144, 44, 64, 50432), 20_554_567_680),
    # Biderman et al. 2023, table 1 and the model cards.
    "Pythia-70M": (shape("neox", 512, 6, 8, 50304), 70_426_624),
    "Pythia-160M": (shape("neox", 768, 12, 12, 50304), 162_322_944),
    "Pythia-410M": (shape("neox", 1024, 24, 16, 50304), 405_334_016),
    "Pythia-1B": (shape("neox", 2048, 16, 8, 50304), 1_011_781_632),
    "Pythia-1.4B": (shape("neox", 2048, 24, 16, 50304), 1_414_647_808),
    "Pythia-2.8B": (shape("neox", 2560, 32, 32, 50304), 2_775_208_960),
    "Pythia-6.9B": (shape("neox", 4096, 32, 32, 50432), 6_857_302_016),
    "Pythia-12B": (shape("neox", 5120, 36, 40, 50688), 11_846_072_320),
}

# These have vocabularies that are no multiple of 128: the rows of padding are counted here, and not there.
PADDED = {
    "GPT-2": (shape("gpt2", 768, 12, 12, 50257, max_position_embeddings=1024), 124_439_808),
    "GPT-2 medium": (shape("gpt2", 1024, 24, 16, 50257, max_position_embeddings=1024), 354_823_168),
    "GPT-2 large": (shape("gpt2", 1280, 36, 20, 50257, max_position_embeddings=1024), 774_030_080),
    "GPT-2 XL": (shape("gpt2", 1600, 48, 25, 50257, max_position_embeddings=1024), 1_557_611_200),
    # mosaicml/llm-foundry, scripts/train/benchmarking/README.md, column NumParams.
    "MPT 7b": (shape("gpt2", 4096, 32, 32, 50368), 6_658_859_008),
    "MPT 13b": (shape("gpt2", 5120, 40, 40, 50368), 12_853_954_560),
    "MPT 30b": (shape("gpt2", 7168, 48, 64, 50368), 29_975_214_080),
}


@pytest.mark.parametrize(("model", "published"), PUBLISHED.values(), ids=PUBLISHED)
def test_parameters_are_those_of_the_released_weights(model: ModelConfig, published: int) -> None:
    assert num_parameters(model) == published


@pytest.mark.parametrize(("model", "published"), PADDED.values(), ids=PADDED)
def test_parameters_without_padding_are_those_of_the_released_weights(model: ModelConfig, published: int) -> None:
    assert model.vocab_size is not None
    padding = (model.padded_vocab_size - model.vocab_size) * model.hidden_size
    assert num_parameters(model) - padding == published
