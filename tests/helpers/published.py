"""Models with the configurations of published ones, scaled down in width and number of layers, with random weights."""

import json
from pathlib import Path
from typing import Any

import torch

PUBLISHED: dict[str, dict[str, Any]] = {
    # rinna/japanese-gpt-1b: 24 layers of 2048, 16 heads, n_inner 8192.
    "rinna-1b": {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_fast",
        "attn_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "resid_pdrop": 0.1,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "gradient_checkpointing": False,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "n_ctx": 1024,
        "n_embd": 128,
        "n_head": 16,
        "n_inner": 512,
        "n_layer": 2,
        "n_positions": 1024,
        "scale_attn_weights": True,
        "summary_type": "cls_index",
        "tokenizer_class": "T5Tokenizer",
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": 44928,
    },
    # rinna/japanese-gpt-neox-3.6b: 36 layers of 2816, 22 heads, serial residual connections, whole heads rotated.
    "rinna-3.6b": {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "bos_token_id": 2,
        "eos_token_id": 3,
        "hidden_act": "gelu",
        "hidden_size": 176,
        "initializer_range": 0.02,
        "intermediate_size": 704,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "num_attention_heads": 22,
        "num_hidden_layers": 2,
        "rotary_emb_base": 10000,
        "rotary_pct": 1.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_cache": True,
        "use_parallel_residual": False,
        "vocab_size": 32000,
    },
    # cyberagent/open-calm-7b: 32 layers of 4096, 32 heads, parallel, more rows than its tokenizer has ids.
    "open-calm": {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_act": "gelu",
        "hidden_size": 256,
        "intermediate_size": 1024,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "num_attention_heads": 32,
        "num_hidden_layers": 2,
        "rotary_emb_base": 10000,
        "rotary_pct": 1.0,
        "torch_dtype": "float16",
        "use_parallel_residual": True,
        "vocab_size": 52096,
    },
    # EleutherAI/pythia: a quarter of each head is rotated.
    "pythia": {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_act": "gelu",
        "hidden_size": 128,
        "intermediate_size": 512,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "torch_dtype": "float16",
        "use_parallel_residual": True,
        "vocab_size": 50304,
    },
    # A LLaMA with grouped heads.
    "llama-gqa": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 128,
        "initializer_range": 0.02,
        "intermediate_size": 448,
        "max_position_embeddings": 8192,
        "num_attention_heads": 8,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": 32000,
    },
    # CohereForAI/c4ai-command-r-v01: 40 layers of 8192, as many key/value heads as heads.
    "command-r": {
        "architectures": ["CohereForCausalLM"],
        "model_type": "cohere",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 5,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 128,
        "initializer_range": 0.02,
        "intermediate_size": 352,
        "layer_norm_eps": 1e-05,
        "logit_scale": 0.0625,
        "max_position_embeddings": 8192,
        "model_max_length": 131072,
        "num_attention_heads": 8,
        "num_hidden_layers": 2,
        "num_key_value_heads": 8,
        "pad_token_id": 0,
        "rope_theta": 8000000.0,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": 32000,
    },
    # CohereForAI/c4ai-command-r-plus: grouped heads, queries and keys normalised.
    "command-r-plus": {
        "architectures": ["CohereForCausalLM"],
        "model_type": "cohere",
        "attention_bias": False,
        "bos_token_id": 5,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 192,
        "intermediate_size": 528,
        "layer_norm_eps": 1e-05,
        "logit_scale": 0.8333333333333334,
        "max_position_embeddings": 8192,
        "num_attention_heads": 12,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "pad_token_id": 0,
        "rope_theta": 75000000.0,
        "torch_dtype": "float16",
        "use_cache": True,
        "use_qk_norm": True,
        "vocab_size": 32000,
    },
}


def published(folder: Path, name: str, *, max_shard_size: str = "5GB", seed: int = 0, **overrides: Any) -> Path:
    """A Hugging Face folder, written by transformers; its config.json is the one above, with the old keys."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from jp_llm.huggingface.reload import quiet_transformers

    values = PUBLISHED[name] | overrides
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(values))
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        with torch.no_grad():
            for parameter in model.parameters():  # norms and biases too are no longer what they are at the start
                parameter.add_(torch.randn_like(parameter) * 0.05)
        model.to(getattr(torch, values["torch_dtype"])).save_pretrained(folder, max_shard_size=max_shard_size)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def small(folder: Path, name: str, **overrides: Any) -> Path:
    """The same with a vocabulary of 300, for tests that look at files and not at logits."""
    return published(folder, name, vocab_size=300, **overrides)
