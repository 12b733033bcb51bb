"""config.json of other people, read as transformers reads it, or refused by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published import PUBLISHED

from jp_llm.arch import registry
from jp_llm.arch.huggingface import UnsupportedModel, config_json, model_fields, read_config
from jp_llm.config.model import ModelConfig

TYPES = ("gpt2", "gpt_neox", "llama", "cohere")


@dataclass(frozen=True)
class Ids:
    bos_id: int | None = 1
    eos_id: int | None = 2
    pad_id: int | None = None


def effective(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What transformers makes of a config.json."""
    from transformers import AutoConfig

    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    found: dict[str, Any] = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    return found


@pytest.mark.parametrize("model_type", TYPES)
def test_missing_keys_have_the_defaults_of_the_class(model_type: str, tmp_path: Path) -> None:
    ours, theirs = model_fields({"model_type": model_type}), effective({"model_type": model_type}, tmp_path)
    assert ours == model_fields(theirs)
    # Each default by itself, for the line above would also hold if a key were never read.
    old = {"hidden_size": "n_embd", "num_layers": "n_layer", "num_attention_heads": "n_head"}
    old |= {"max_position_embeddings": "n_positions", "norm_eps": "layer_norm_epsilon"}
    new = {"num_layers": "num_hidden_layers", "qk_norm": "use_qk_norm", "parallel_residual": "use_parallel_residual"}
    new["norm_eps"] = "rms_norm_eps" if model_type == "llama" else "layer_norm_eps"
    names = old if model_type == "gpt2" else new
    checked = 0
    for key, value in ours.items():
        name = names.get(key, key)
        if name in theirs and value is not None and key != "intermediate_size":
            assert value == theirs[name], key
            checked += 1
    assert checked >= 8
    if model_type != "gpt2":
        assert ours["rope_theta"] == theirs["rope_parameters"]["rope_theta"]
        assert ours["intermediate_size"] == theirs["intermediate_size"]
    if model_type == "gpt_neox":
        assert ours["partial_rotary_factor"] == theirs["rope_parameters"]["partial_rotary_factor"] == 0.25


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_read_as_transformers_reads_them(name: str, tmp_path: Path) -> None:
    fields = model_fields(PUBLISHED[name])
    assert fields == model_fields(effective(PUBLISHED[name], tmp_path))
    assert ModelConfig(**fields).problems() == []


ROPE = st.fixed_dictionaries(
    {},
    optional={
        "rope_theta": st.sampled_from([10000, 10000.0, 500000.0]),
        "rotary_emb_base": st.sampled_from([10000, 25000.0]),
        "rotary_pct": st.sampled_from([0.25, 0.5, 1.0]),
        "rope_scaling": st.none()
        | st.fixed_dictionaries({"rope_type": st.just("default")}, optional={"rope_theta": st.just(7.0)}),
        "rope_parameters": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "rope_type": st.just("default"),
                "type": st.just("default"),
                "rope_theta": st.sampled_from([1000.0, 70000.0]),
            },
        ),
        "num_key_value_heads": st.sampled_from([None, 1, 2]),
        "head_dim": st.sampled_from([None, 16]),
        "tie_word_embeddings": st.booleans(),
        "use_qk_norm": st.booleans(),
        "use_parallel_residual": st.booleans(),
        "n_inner": st.sampled_from([None, 100]),
        "max_position_embeddings": st.just(99),
        "n_positions": st.just(77),
        "n_embd": st.just(32),
        "hidden_act": st.just("silu"),
        "unknown_to_everybody": st.just(1),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model_type=st.sampled_from(TYPES), values=ROPE)
def test_any_mixture_of_old_and_new_keys_is_read_as_transformers_reads_it(
    model_type: str, values: dict[str, Any], tmp_path: Path
) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1}
    # GPT-NeoX has another activation; GPT-2 has no rotary positions, and transformers warns of keys for them.
    for key in {"gpt_neox": ("hidden_act",), "gpt2": ("rope_scaling", "rope_theta")}.get(model_type, ()):
        values.pop(key, None)
    config = {"model_type": model_type} | sizes | values
    assert model_fields(config) == model_fields(effective(config, tmp_path))


@pytest.mark.parametrize("arch", registry.names())
@pytest.mark.parametrize("fields", [{}, {"rope_theta": 7e4, "norm_eps": 1e-6, "initializer_range": 0.01}])
def test_what_we_write_is_read_back(arch: str, fields: dict[str, Any]) -> None:
    own = {"palm": {"logit_scale": 0.3, "qk_norm": True}, "neox": {"parallel_residual": False}}.get(arch, {})
    model = ModelConfig(arch=arch, vocab_size=301, **fields, **own)
    assert not model.problems()
    back = ModelConfig(**model_fields(json.loads(json.dumps(config_json(model, Ids(), "fp16")))))
    ignored = {"rope_theta"} if arch == "gpt2" else set()
    for name in ModelConfig.model_fields.keys() - {"size"} - ignored:
        if name not in ("num_key_value_heads", "intermediate_size", "tie_word_embeddings", "partial_rotary_factor"):
            assert getattr(back, name) == getattr(model, name) or getattr(model, name) is None, name
    for name in ("key_value_heads", "mlp_size", "tied", "rotary_dim", "spec", "padded_vocab_size"):
        assert getattr(back, name) == getattr(model, name), name


REFUSED = [
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling of type 'linear'"),
    ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "rope_parameters of type 'llama3'"),
    ("gpt_neox", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "type 'yarn': only plain rotary"),
    ("llama", {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "by kind of layer"),
    ("llama", {"rope_theta": "10000"}, "rope_theta '10000': must be a positive number"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5: whole heads are rotated"),
    ("llama", {"attention_bias": True}, "attention_bias True: the linear layers of LLaMA have no biases"),
    ("llama", {"mlp_bias": True}, "mlp_bias True"),
    ("cohere", {"attention_bias": True}, "attention_bias True: the linear layers of Cohere"),
    ("gpt_neox", {"attention_bias": False}, "attention_bias False: the linear layers of GPT-NeoX have biases"),
    ("llama", {"head_dim": 256}, r"head_dim 256: must be the width by the heads here, 4096 / 32 = 128"),
    ("llama", {"hidden_size": 100}, "32 attention heads do not divide the width 100"),
    ("llama", {"hidden_act": "gelu"}, r"hidden_act 'gelu': the MLP here has silu = swish"),
    ("cohere", {"hidden_act": "gelu_new"}, "hidden_act 'gelu_new'"),
    ("gpt_neox", {"hidden_act": "gelu_new"}, "hidden_act 'gelu_new': the MLP here has gelu = gelu_python"),
    ("gpt2", {"activation_function": "relu"}, "activation_function 'relu': .* gelu_fast = gelu_new = gelu_pytorch"),
    ("gpt2", {"activation_function": "gelu"}, "activation_function 'gelu'"),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights False"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True"),
    ("gpt2", {"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn True"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention True"),
    ("gpt2", {"n_layer": "12"}, "n_layer '12': must be a positive whole number"),
    ("gpt2", {"layer_norm_epsilon": 0}, "layer_norm_epsilon 0: must be a positive number"),
    ("gpt2", {"tie_word_embeddings": "yes"}, "tie_word_embeddings 'yes': must be true or false"),
    ("gpt2", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
    ("llama", {"quantization_config": {"bits": 4}}, "quantization_config .* take the original ones"),
    ("llama", {"sliding_window": 4096}, "sliding_window 4096: every layer here attends to the whole context"),
    ("llama", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
    ("llama", {"layer_types": 5}, "layer_types 5"),
    ("llama", {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}, "auto_map .* is never run"),
    ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "only LlamaForCausalLM of this model_type"),
    ("llama", {"architectures": 5}, "architectures 5: only LlamaForCausalLM"),
    ("cohere", {"logit_scale": None}, "logit_scale None: must be a positive number"),
    ("cohere2", {"architectures": ["Cohere2ForCausalLM"]}, r"model_type 'cohere2' \(Cohere2ForCausalLM\) cannot be"),
    ("mistral", {}, r"can be: cohere \(CohereForCausalLM\), gpt2 \(GPT2LMHeadModel\), gpt_neox"),
    ("gpt_neox_japanese", {}, "model_type 'gpt_neox_japanese'"),
    (None, {}, "model_type None"),
]


@pytest.mark.parametrize(("model_type", "values", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_computed_is_refused_by_name(model_type: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedModel, match=f"config.json: .*{message}") as caught:
        model_fields({"model_type": model_type} | values)
    assert len(caught.value.problems) == 1


def test_everything_that_stands_in_the_way_is_named_at_once() -> None:
    values = {"hidden_act": "relu", "mlp_bias": True, "rope_scaling": {"type": "dynamic"}, "head_dim": 3, "n": 1}
    with pytest.raises(UnsupportedModel) as caught:
        model_fields({"model_type": "llama"} | values)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh"])
def test_names_of_the_tanh_form_are_one_function(name: str) -> None:
    import torch
    from transformers.activations import ACT2FN

    x = torch.linspace(-8, 8, 2001)
    assert torch.allclose(ACT2FN[name](x), torch.nn.functional.gelu(x, approximate="tanh"), atol=1e-6)
    assert model_fields({"model_type": "gpt2", "activation_function": name})["arch"] == "gpt2"


def test_dropout_is_ignored_and_said() -> None:
    found = read_config({"model_type": "gpt_neox", "hidden_dropout": 0.2, "attention_dropout": None})
    assert [text.split(":")[0] for text in found.ignored] == ["hidden_dropout 0.2"]
    assert read_config({"model_type": "llama"}).ignored == ()
