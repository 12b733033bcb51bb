"""Tiny models of every architecture."""

import pytest
import torch

from jp_llm.config.model import ModelConfig

VARIANTS = {
    "gpt2": {"arch": "gpt2"},
    "gpt2_untied": {"arch": "gpt2", "tie_word_embeddings": False},
    "neox": {"arch": "neox"},
    "neox_whole_heads": {"arch": "neox", "partial_rotary_factor": 1.0},
    "neox_serial": {"arch": "neox", "partial_rotary_factor": 1.0, "parallel_residual": False},
    "llama": {"arch": "llama"},
    "llama_grouped": {"arch": "llama", "num_key_value_heads": 2, "tie_word_embeddings": True},
    "palm": {"arch": "palm", "logit_scale": 0.125},
    "palm_grouped_qk_norm": {"arch": "palm", "num_key_value_heads": 2, "qk_norm": True},
}


@pytest.fixture(autouse=True)
def _reproducible():
    torch.manual_seed(0)


@pytest.fixture
def tiny():
    """`tiny("palm", num_layers=3)`: the config of a variant with other fields; 100 ids, padded to 128."""

    def build(variant: str, **fields: object) -> ModelConfig:
        sizes = {
            "hidden_size": 64,
            "num_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            "vocab_size": 100,
            "max_position_embeddings": 32,
            "norm_eps": 1e-3,
            "initializer_range": 0.2,
        }
        config = ModelConfig.model_validate(sizes | VARIANTS[variant] | fields)
        assert config.problems() == []
        return config

    return build


@pytest.fixture(params=list(VARIANTS))
def variant(request):
    return request.param


@pytest.fixture(params=["gpt2", "neox", "llama", "palm"])
def arch(request):
    return request.param
