"""GPT-NeoX-20B (Black et al. 2022): parallel residual with two norms, rotary on a quarter of each head, biases."""

from typing import Any

from jp_llm.arch.spec import ConfigValues, HuggingFaceForm, LayerSpec, NameRule

SPEC = LayerSpec(
    norm="layer_norm",
    residual="parallel",
    mlp="gelu",
    positions="rotary",
    bias=True,
    tie_word_embeddings=False,
    partial_rotary_factor=0.25,
    tying_can_change=False,
)


def _config(values: ConfigValues) -> dict[str, Any]:
    factor = values.partial_rotary_factor or SPEC.partial_rotary_factor
    return {
        "hidden_size": values.hidden_size,
        "num_hidden_layers": values.num_layers,
        "num_attention_heads": values.num_attention_heads,
        "intermediate_size": values.mlp_size,
        "max_position_embeddings": values.max_position_embeddings,
        "hidden_act": "gelu",
        "layer_norm_eps": values.norm_eps,
        "use_parallel_residual": True,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "classifier_dropout": 0.0,
        "is_decoder": False,
        # Without the factor transformers 5 takes 0.25; the last two are the names that version 4 reads.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": values.rope_theta,
            "partial_rotary_factor": factor,
        },
        "rotary_emb_base": values.rope_theta,
        "rotary_pct": factor,
    }


HUGGING_FACE = HuggingFaceForm(
    class_name="GPTNeoXForCausalLM",
    model_type="gpt_neox",
    config=_config,
    rules=(
        NameRule("gpt_neox.embed_in.weight", ("embedding.weight",), "vocabulary"),
        NameRule("gpt_neox.layers.{layer}.input_layernorm.{kind}", ("layers.{layer}.attention_norm.{kind}",)),
        NameRule(
            "gpt_neox.layers.{layer}.attention.query_key_value.{kind}",
            (
                "layers.{layer}.attention.q.{kind}",
                "layers.{layer}.attention.k.{kind}",
                "layers.{layer}.attention.v.{kind}",
            ),
            "qkv_heads",
        ),
        NameRule("gpt_neox.layers.{layer}.attention.dense.{kind}", ("layers.{layer}.attention.o.{kind}",)),
        NameRule("gpt_neox.layers.{layer}.post_attention_layernorm.{kind}", ("layers.{layer}.mlp_norm.{kind}",)),
        NameRule("gpt_neox.layers.{layer}.mlp.dense_h_to_4h.{kind}", ("layers.{layer}.mlp.up.{kind}",)),
        NameRule("gpt_neox.layers.{layer}.mlp.dense_4h_to_h.{kind}", ("layers.{layer}.mlp.down.{kind}",)),
        NameRule("gpt_neox.final_layer_norm.{kind}", ("final_norm.{kind}",)),
        # transformers 5 calls it lm_head in memory, but writes and reads this older name, the only one others know.
        NameRule("embed_out.weight", ("head.weight",), "vocabulary"),
    ),
)
