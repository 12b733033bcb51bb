"""GPT-2 (Radford et al. 2019): learned positions, serial pre-norm blocks, tanh GELU, biases, tied head."""

from typing import Any

from jp_llm.arch.config_reader import ConfigReader
from jp_llm.arch.spec import ConfigValues, HuggingFaceForm, LayerSpec, NameRule

SPEC = LayerSpec(
    norm="layer_norm",
    residual="serial",
    mlp="gelu_tanh",
    positions="learned",
    bias=True,
    tie_word_embeddings=True,
)

_TANH_GELU = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")
"""Three names of 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016, section 2)."""


def _config(values: ConfigValues) -> dict[str, Any]:
    return {
        "n_embd": values.hidden_size,
        "n_layer": values.num_layers,
        "n_head": values.num_attention_heads,
        "n_inner": values.mlp_size,
        "n_positions": values.max_position_embeddings,
        "n_ctx": values.max_position_embeddings,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": values.norm_eps,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "add_cross_attention": False,
    }


def _fields(config: ConfigReader) -> dict[str, Any]:
    hidden_size = config.integer("n_embd", 768, "hidden_size")
    config.activation("activation_function", "gelu_new", _TANH_GELU)
    config.only("scale_attn_weights", True, True, "scores are always divided by the root of the size of a head here")
    for key in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
        config.only(key, False, False, "attention here has no such option")
    for key in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):
        config.dropout(key, 0.1)
    return {
        "hidden_size": hidden_size,
        "num_layers": config.integer("n_layer", 12, "num_hidden_layers"),
        "num_attention_heads": config.integer("n_head", 12, "num_attention_heads"),
        "intermediate_size": config.integer("n_inner", None) or 4 * (hidden_size or 0),
        "vocab_size": config.integer("vocab_size", 50257),
        "max_position_embeddings": config.integer("n_positions", 1024, "max_position_embeddings"),
        "norm_eps": config.number("layer_norm_epsilon", 1e-5),
        "tie_word_embeddings": config.flag("tie_word_embeddings", True),
        "initializer_range": config.number("initializer_range", 0.02),
    }


HUGGING_FACE = HuggingFaceForm(
    class_name="GPT2LMHeadModel",
    model_type="gpt2",
    config=_config,
    fields=_fields,
    buffers=("transformer.h.{layer}.attn.bias", "transformer.h.{layer}.attn.masked_bias"),
    rules=(
        NameRule("transformer.wte.weight", ("embedding.weight",), "vocabulary"),
        NameRule("transformer.wpe.weight", ("positions.weight",)),
        NameRule("transformer.h.{layer}.ln_1.{kind}", ("layers.{layer}.attention_norm.{kind}",)),
        NameRule(
            "transformer.h.{layer}.attn.c_attn.{kind}",
            (
                "layers.{layer}.attention.q.{kind}",
                "layers.{layer}.attention.k.{kind}",
                "layers.{layer}.attention.v.{kind}",
            ),
            "qkv_columns",
        ),
        NameRule("transformer.h.{layer}.attn.c_proj.{kind}", ("layers.{layer}.attention.o.{kind}",), "transpose"),
        NameRule("transformer.h.{layer}.ln_2.{kind}", ("layers.{layer}.mlp_norm.{kind}",)),
        NameRule("transformer.h.{layer}.mlp.c_fc.{kind}", ("layers.{layer}.mlp.up.{kind}",), "transpose"),
        NameRule("transformer.h.{layer}.mlp.c_proj.{kind}", ("layers.{layer}.mlp.down.{kind}",), "transpose"),
        NameRule("transformer.ln_f.{kind}", ("final_norm.{kind}",)),
        NameRule("lm_head.weight", ("head.weight",), "vocabulary"),
    ),
)
