"""GPT-2 (Radford et al. 2019): learned positions, serial pre-norm blocks, tanh GELU, biases, tied head."""

from typing import Any

from jp_llm.arch.spec import ConfigValues, HuggingFaceForm, LayerSpec, NameRule

SPEC = LayerSpec(
    norm="layer_norm",
    residual="serial",
    mlp="gelu_tanh",
    positions="learned",
    bias=True,
    tie_word_embeddings=True,
)


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


HUGGING_FACE = HuggingFaceForm(
    class_name="GPT2LMHeadModel",
    model_type="gpt2",
    config=_config,
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
