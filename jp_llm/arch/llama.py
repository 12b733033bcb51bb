"""LLaMA (Touvron et al. 2023): RMSNorm, SwiGLU of 8/3 width, rotary, no biases, serial pre-norm blocks."""

from typing import Any

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


HUGGING_FACE = HuggingFaceForm(
    class_name="LlamaForCausalLM",
    model_type="llama",
    config=_config,
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
