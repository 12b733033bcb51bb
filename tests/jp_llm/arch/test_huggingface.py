"""Names and config fields of the Hugging Face form."""

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest

from jp_llm.arch import huggingface, registry
from jp_llm.arch.huggingface import config_json, name_rules
from jp_llm.arch.parameters import parameter_shapes
from jp_llm.arch.spec import HuggingFaceForm, NameRule
from jp_llm.config.model import ModelConfig

CHOICES: list[dict[str, Any]] = [
    {"arch": "gpt2"},
    {"arch": "gpt2", "tie_word_embeddings": False},
    {"arch": "neox"},
    {"arch": "neox", "parallel_residual": False},
    {"arch": "llama"},
    {"arch": "llama", "tie_word_embeddings": True, "num_key_value_heads": 2},
    {"arch": "palm"},
    {"arch": "palm", "qk_norm": True},
]


@dataclass(frozen=True)
class Ids:
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = 3


def model(**overrides: Any) -> ModelConfig:
    sizes = {"hidden_size": 64, "num_layers": 3, "num_attention_heads": 4, "vocab_size": 301}
    config = ModelConfig(**(sizes | overrides))
    assert not config.problems()
    return config


def test_every_architecture_is_covered() -> None:
    assert {choice["arch"] for choice in CHOICES} == set(registry.names())


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_canonical_name_is_used_once_and_every_key_is_filled_once(choice: dict[str, Any]) -> None:
    config = model(**choice)
    rules = name_rules(config)
    assert sorted(source for rule in rules for source in rule.sources) == sorted(parameter_shapes(config))
    assert len({rule.key for rule in rules}) == len(rules)
    assert not any("{" in name for rule in rules for name in (rule.key, *rule.sources))


@pytest.mark.parametrize("arch", registry.names())
def test_every_rule_of_a_table_is_used_by_some_choice(arch: str) -> None:
    used = {rule.key for choice in CHOICES if choice["arch"] == arch for rule in name_rules(model(**choice))}
    for rule in registry.form_of(arch).rules:
        assert rule.key.format(layer=0, kind="weight") in used


def _without(rules: tuple[NameRule, ...]) -> tuple[NameRule, ...]:
    return rules[:-1]


def _twice(rules: tuple[NameRule, ...]) -> tuple[NameRule, ...]:
    return (*rules, NameRule("another.weight", rules[0].sources))


def _same_key(rules: tuple[NameRule, ...]) -> tuple[NameRule, ...]:
    return (replace(rules[0], key=rules[-1].key), *rules[1:])


def _misspelt(rules: tuple[NameRule, ...]) -> tuple[NameRule, ...]:
    return (*rules[:-1], replace(rules[-1], sources=("final_nrom.weight",)))


@pytest.mark.parametrize("mutation", [_without, _twice, _same_key, _misspelt])
def test_a_wrong_table_is_refused(mutation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    form = registry.form_of("palm")
    wrong: HuggingFaceForm = replace(form, rules=mutation(form.rules))
    monkeypatch.setattr(huggingface, "form_of", lambda arch: wrong)
    with pytest.raises(ValueError, match=r"palm: the name table must use and fill every name once; wrong: \w+"):
        name_rules(model(arch="palm"))


def test_config_holds_the_numbers_of_the_model() -> None:
    config = model(
        arch="palm", num_key_value_heads=2, rope_theta=50000.0, norm_eps=1e-6, logit_scale=0.25, qk_norm=True
    )
    written = config_json(config, Ids(), "bf16")
    assert written["architectures"] == ["CohereForCausalLM"]
    assert written["rope_parameters"] == {"rope_type": "default", "rope_theta": 50000.0}
    expected = {
        "vocab_size": 301,
        "num_key_value_heads": 2,
        "layer_norm_eps": 1e-6,
        "logit_scale": 0.25,
        "use_qk_norm": True,
        "tie_word_embeddings": True,
        "pad_token_id": 3,
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
    }
    assert {key: written[key] for key in expected} == expected


@pytest.mark.parametrize(("factor", "written"), [(None, 0.25), (1.0, 1.0), (0.5, 0.5)])
def test_neox_always_writes_its_rotary_factor(factor: float | None, written: float) -> None:
    config = config_json(model(arch="neox", partial_rotary_factor=factor), Ids(), "fp32")
    assert config["rope_parameters"]["partial_rotary_factor"] == written
    assert config["rotary_pct"] == written


def test_rope_scaling_is_never_written() -> None:
    # transformers replaces rope_parameters, theta included, by any rope_scaling that is there.
    for arch in registry.names():
        assert "rope_scaling" not in config_json(model(arch=arch), Ids(), "fp32")


def test_loads_no_torch() -> None:
    modules = "jp_llm.arch.huggingface, jp_llm.evaluate.config, jp_llm.generate.config"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
