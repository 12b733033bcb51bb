"""PaLM (Chowdhery et al. 2022, section 2): parallel block on one bias-free norm, SwiGLU, rotary, one key/value head."""

from typing import Any

from jp_llm.arch.config_reader import ConfigReader
from jp_llm.arch.spec import ConfigValues, HuggingFaceForm, LayerSpec, NameRule

SPEC = LayerSpec(
    norm="layer_norm_without_bias",
    residual="parallel_one_norm",
    mlp="swiglu",
    positions="rotary",
    bias=False,
    tie_word_embeddings=True,
    num_key_value_heads="one",
    grouped_heads=True,
    qk_norm=True,
    tying_can_change=False,
)


def _config(values: ConfigValues) -> dict[str, Any]:
    return {
        "hidden_size": values.hidden_size,
        "num_hidden_layers": values.num_layers,
        "num_attention_heads": values.num_attention_heads,
        "num_key_value_heads": values.key_value_heads,
        "intermediate_size": values.mlp_size,
        "max_position_embeddings": values.max_position_embeddings,
        "hidden_act": "silu",
        "layer_norm_eps": values.norm_eps,
        "logit_scale": values.logit_scale,
        "use_qk_norm": values.qk_norm,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": values.rope_theta},
        "rope_theta": values.rope_theta,  # read by transformers 4
    }


def _fields(config: ConfigReader) -> dict[str, Any]:
    theta, factor = config.rotary(
        theta=500000.0, theta_key="rope_theta", factor=1.0, factor_key="partial_rotary_factor"
    )
    if factor != 1.0:
        config.problems.append(f"partial_rotary_factor {factor}: whole heads are rotated here")
    config.activation("hidden_act", "silu", ("silu", "swish"))
    config.only("attention_bias", False, False, "the linear layers of Cohere have no biases here")
    config.dropout("attention_dropout", 0.0)
    heads = config.integer("num_attention_heads", 64)
    return {
        "hidden_size": config.integer("hidden_size", 8192),
        "num_layers": config.integer("num_hidden_layers", 40),
        "num_attention_heads": heads,
        "num_key_value_heads": config.integer("num_key_value_heads", None) or heads,
        "intermediate_size": config.integer("intermediate_size", 22528),
        "vocab_size": config.integer("vocab_size", 256000),
        "max_position_embeddings": config.integer("max_position_embeddings", 8192),
        "rope_theta": theta,
        "norm_eps": config.number("layer_norm_eps", 1e-5),
        "qk_norm": config.flag("use_qk_norm", False),
        "tie_word_embeddings": config.flag("tie_word_embeddings", True),
        "logit_scale": config.number("logit_scale", 0.0625),
        "initializer_range": config.number("initializer_range", 0.02),
    }


# Cohere (Command R) is PaLM's block; it turns neighbouring dimensions where ours turns i with i + d/2.
HUGGING_FACE = HuggingFaceForm(
    class_name="CohereForCausalLM",
    model_type="cohere",
    config=_config,
    fields=_fields,
    buffers=("model.layers.{layer}.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"),
    rules=(
        NameRule("model.embed_tokens.weight", ("embedding.weight",), "vocabulary"),
        NameRule("model.layers.{layer}.input_layernorm.weight", ("layers.{layer}.attention_norm.weight",)),
        NameRule(
            "model.layers.{layer}.self_attn.q_proj.weight", ("layers.{layer}.attention.q.weight",), "interleaved_rows"
        ),
        NameRule(
            "model.layers.{layer}.self_attn.k_proj.weight", ("layers.{layer}.attention.k.weight",), "interleaved_rows"
        ),
        NameRule("model.layers.{layer}.self_attn.v_proj.weight", ("layers.{layer}.attention.v.weight",)),
        NameRule(
            "model.layers.{layer}.self_attn.q_norm.weight",
            ("layers.{layer}.attention.q_norm.weight",),
            "interleaved_columns",
        ),
        NameRule(
            "model.layers.{layer}.self_attn.k_norm.weight",
            ("layers.{layer}.attention.k_norm.weight",),
            "interleaved_columns",
        ),
        NameRule("model.layers.{layer}.self_attn.o_proj.weight", ("layers.{layer}.attention.o.weight",)),
        NameRule("model.layers.{layer}.mlp.gate_proj.weight", ("layers.{layer}.mlp.gate.weight",)),
        NameRule("model.layers.{layer}.mlp.up_proj.weight", ("layers.{layer}.mlp.up.weight",)),
        NameRule("model.layers.{layer}.mlp.down_proj.weight", ("layers.{layer}.mlp.down.weight",)),
        NameRule("model.norm.weight", ("final_norm.weight",)),
    ),
)
