"""LLaMA (Touvron et al. 2023): RMSNorm, SwiGLU of 8/3 width, rotary, no biases, serial pre-norm blocks."""

from typing import Any

from jp_llm.arch.config_reader import ConfigReader
from jp_llm.arch.spec import ConfigValues, HuggingFaceForm, LayerSpec, NameRule

SPEC = LayerSpec(
    norm="rms_norm",
    residual="serial",
    mlp="swiglu",
    positions="rotary",
    bias=False,
    tie_word_embeddings=False,
    intermediate_ratio=(8, 3),
    intermediate_multiple=256,
    grouped_heads=True,
)


def _config(values: ConfigValues) -> dict[str, Any]:
    return {
        "hidden_size": values.hidden_size,
        "num_hidden_layers": values.num_layers,
        "num_attention_heads": values.num_attention_heads,
        "num_key_value_heads": values.key_value_heads,
        "head_dim": values.head_dim,
        "intermediate_size": values.mlp_size,
        "max_position_embeddings": values.max_position_embeddings,
        "hidden_act": "silu",
        "rms_norm_eps": values.norm_eps,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "pretraining_tp": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": values.rope_theta},
        "rope_theta": values.rope_theta,  # read by transformers 4
    }


def _fields(config: ConfigReader) -> dict[str, Any]:
    theta, factor = config.rotary(theta=10000.0, theta_key="rope_theta", factor=1.0, factor_key="partial_rotary_factor")
    if factor != 1.0:
        config.problems.append(f"partial_rotary_factor {factor}: whole heads are rotated here")
    config.activation("hidden_act", "silu", ("silu", "swish"))
    for key in ("attention_bias", "mlp_bias"):
        config.only(key, False, False, "the linear layers of LLaMA have no biases here")
    config.dropout("attention_dropout", 0.0)
    return {
        "hidden_size": config.integer("hidden_size", 4096),
        "num_layers": config.integer("num_hidden_layers", 32),
        "num_attention_heads": config.integer("num_attention_heads", 32),
        "num_key_value_heads": config.integer("num_key_value_heads", None),
        "intermediate_size": config.integer("intermediate_size", 11008),
        "vocab_size": config.integer("vocab_size", 32000),
        "max_position_embeddings": config.integer("max_position_embeddings", 2048),
        "rope_theta": theta,
        "norm_eps": config.number("rms_norm_eps", 1e-6),
        "tie_word_embeddings": config.flag("tie_word_embeddings", False),
        "initializer_range": config.number("initializer_range", 0.02),
    }


HUGGING_FACE = HuggingFaceForm(
    class_name="LlamaForCausalLM",
    model_type="llama",
    config=_config,
    fields=_fields,
    buffers=("model.layers.{layer}.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"),
    rules=(
        NameRule("model.embed_tokens.weight", ("embedding.weight",), "vocabulary"),
        NameRule("model.layers.{layer}.input_layernorm.weight", ("layers.{layer}.attention_norm.weight",)),
        NameRule("model.layers.{layer}.self_attn.q_proj.weight", ("layers.{layer}.attention.q.weight",)),
        NameRule("model.layers.{layer}.self_attn.k_proj.weight", ("layers.{layer}.attention.k.weight",)),
        NameRule("model.layers.{layer}.self_attn.v_proj.weight", ("layers.{layer}.attention.v.weight",)),
        NameRule("model.layers.{layer}.self_attn.o_proj.weight", ("layers.{layer}.attention.o.weight",)),
        NameRule("model.layers.{layer}.post_attention_layernorm.weight", ("layers.{layer}.mlp_norm.weight",)),
        NameRule("model.layers.{layer}.mlp.gate_proj.weight", ("layers.{layer}.mlp.gate.weight",)),
        NameRule("model.layers.{layer}.mlp.up_proj.weight", ("layers.{layer}.mlp.up.weight",)),
        NameRule("model.layers.{layer}.mlp.down_proj.weight", ("layers.{layer}.mlp.down.weight",)),
        NameRule("model.norm.weight", ("final_norm.weight",)),
        NameRule("lm_head.weight", ("head.weight",), "vocabulary"),
    ),
)
