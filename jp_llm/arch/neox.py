"""GPT-NeoX-20B (Black et al. 2022): parallel residual with two norms, rotary on a quarter of each head, biases."""

from typing import Any

from jp_llm.arch.config_reader import ConfigReader
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
    residual_can_be_serial=True,
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
        "use_parallel_residual": values.parallel_residual is not False,
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


def _fields(config: ConfigReader) -> dict[str, Any]:
    theta, factor = config.rotary(theta=10000.0, theta_key="rotary_emb_base", factor=0.25, factor_key="rotary_pct")
    config.activation("hidden_act", "gelu", ("gelu", "gelu_python"))
    config.only("attention_bias", True, True, "the linear layers of GPT-NeoX have biases here")
    for key in ("attention_dropout", "hidden_dropout"):
        config.dropout(key, 0.0)
    return {
        "hidden_size": config.integer("hidden_size", 6144),
        "num_layers": config.integer("num_hidden_layers", 44),
        "num_attention_heads": config.integer("num_attention_heads", 64),
        "intermediate_size": config.integer("intermediate_size", 24576),
        "vocab_size": config.integer("vocab_size", 50432),
        "max_position_embeddings": config.integer("max_position_embeddings", 2048),
        "rope_theta": theta,
        "partial_rotary_factor": factor,
        "parallel_residual": config.flag("use_parallel_residual", True),
        "norm_eps": config.number("layer_norm_eps", 1e-5),
        "tie_word_embeddings": config.flag("tie_word_embeddings", False),
        "initializer_range": config.number("initializer_range", 0.02),
    }


HUGGING_FACE = HuggingFaceForm(
    class_name="GPTNeoXForCausalLM",
    model_type="gpt_neox",
    config=_config,
    fields=_fields,
    buffers=(
        "gpt_neox.layers.{layer}.attention.bias",
        "gpt_neox.layers.{layer}.attention.masked_bias",
        "gpt_neox.layers.{layer}.attention.rotary_emb.inv_freq",
        "gpt_neox.rotary_emb.inv_freq",
    ),
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
